"""What strangers write, mangled: each command ends with a documented status, a line for people, and no secret.

`make fuzz` runs the same for an hour, with more examples and new seeds.
"""

from __future__ import annotations

import json
import os
import re
import resource
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from chatpost.emulator.faults import Fault, Kind
from chatpost.errors import ExitStatus
from tests.conftest import KEY, TOKEN, Finished
from tests.test_ci import GITHUB

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chatpost.emulator import Emulator
    from tests.conftest import InProcess

fuzz = settings(
    max_examples=int(os.environ.get("CHATPOST_FUZZ", "80")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
SECONDS = 5.0  # of CPU time per command; most take a hundredth
MEMORY = 400 * 1024  # KiB that all commands of a test may add

BAD = ("\x00", "\x1b[2J", "\r", "\u202e", "\ud800", "\U0010ffff", "<users/all>", "```", "{", '"', "\\u0000", "9" * 400)
SECRET_URL = f"https://chat.googleapis.com/v1/spaces/AAAA/messages?key={KEY}&token={TOKEN}"


def _mangle(text: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """Replace pieces of a text; each change has a place, a length, and what is put there."""
    for place, length, new in changes:
        at = place % (len(text) + 1)
        text = text[:at] + new + text[at + length :]
    return text


def mangled(*seeds: bytes | str) -> st.SearchStrategy[bytes]:
    """Return a strategy of texts that look like one of the seeds, with some pieces replaced, and of any bytes."""
    raw = [seed.encode() if isinstance(seed, str) else seed for seed in seeds]
    pieces = st.sampled_from([bad.encode(errors="surrogatepass") for bad in BAD] + raw) | st.binary(max_size=8)
    changes = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 40), pieces), max_size=5)
    return st.builds(_mangle, st.sampled_from(raw), changes) | st.binary(max_size=200)


@pytest.fixture
def check() -> Callable[[Callable[[], Finished]], Finished]:
    """Return a function that runs a command, and checks the rules for any input."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def run(command: Callable[[], Finished]) -> Finished:
        began = time.process_time()
        done = command()
        assert time.process_time() - began < SECONDS
        assert done.status in set(ExitStatus) - {ExitStatus.BUG}, done
        errors = [line for line in done.err.splitlines() if not line.startswith(("chatpost: ", "  1. ", "  2. "))]
        assert not errors, done
        assert len(re.findall("^chatpost: error: ", done.err, re.MULTILINE)) == (done.status != 0), done
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", done.err), done
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY
        return done

    return run


ERROR = json.dumps(
    {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "Bad", "details": [{"reason": "X"}]}}
)
CREATED = json.dumps(
    {"name": "spaces/AAAA/messages/T.M", "thread": {"name": "spaces/AAAA/threads/T"}, "text": SECRET_URL}
)


@fuzz
@given(
    st.sampled_from([200, 204, 302, 400, 403, 404, 409, 429, 500, 503, 599]), mangled(ERROR, CREATED, "<html>x</html>")
)
def test_answers(chatpost: InProcess, chat: Emulator, check: Any, code: int, body: bytes) -> None:
    """Any answer of Chat, or of a proxy."""
    chat.faults.clear()
    chat.faults.append(Fault(Kind.STATUS, code, headers={"Retry-After": "0"}, body=body))
    done = check(lambda: chatpost("send", "--retries", "0", "-o", "json", "hi"))
    assert json.loads(done.out)["attempts"] == 1


CARD = json.dumps(
    {
        "cardsV2": [
            {
                "cardId": "a",
                "card": {"header": {"title": "T"}, "sections": [{"widgets": [{"textParagraph": {"text": "x"}}]}]},
            }
        ]
    }
)


@fuzz
@given(mangled(CARD, '{"header": {"title": "T"}}', '{"text": "x", "thread": {"name": "spaces/AAAA/threads/T"}}'))
def test_card_files(chatpost: InProcess, check: Any, card: bytes) -> None:
    """Any card file."""
    check(lambda: chatpost("send", "--card", "-", "--dry-run", stdin=card))


MAIL = b"""\
From: root <root@db-1>
To: root
Subject: =?utf-8?q?Caf=C3=A9?= <users/all>
Content-Type: multipart/mixed; boundary="b"

--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

caf=C3=A9
--b
Content-Type: text/html

<p>a <a href="https://x.example/">b</a></p>
--b
Content-Type: application/pdf; name="a.pdf"
Content-Transfer-Encoding: base64

YQ==
--b--
"""


@fuzz
@given(mangled(MAIL, "Subject: A\n\n.\nb", SECRET_URL))
def test_mail(chatpost: InProcess, chat: Emulator, check: Any, mail: bytes) -> None:
    """Any mail is posted, and mentions no one."""
    chat.space().messages.clear()
    assert check(lambda: chatpost("sendmail", "-t", stdin=mail)).status == 0
    posted = json.dumps([message.body for message in chat.space().messages])
    assert chat.space().messages
    assert not re.search(r"(?i)<users/", posted)
    assert TOKEN not in posted


EVENT = json.dumps(
    {
        "action": "completed",
        "workflow_run": {
            "conclusion": "failure",
            "head_sha": "0123abc",
            "head_commit": {"message": "m", "author": {"name": "a"}},
        },
        "pull_request": {"number": 42, "title": "t", "head": {"sha": "0123abc"}},
    }
)


@fuzz
@given(mangled(EVENT), st.lists(st.tuples(st.sampled_from([*GITHUB]), st.sampled_from(BAD[1:-1])), max_size=3))
def test_ci_events(
    chatpost: InProcess, check: Any, tmp_path: Path, event: bytes, variables: list[tuple[str, str]]
) -> None:
    """Any event of a CI, and values that a stranger chose for its variables."""
    path = tmp_path / "event.json"
    path.write_bytes(event)
    odd = {name: value for name, value in variables if value.isprintable() or value == "\r"}
    chatpost.env |= GITHUB | {"GITHUB_EVENT_PATH": str(path), "GITHUB_EVENT_NAME": "workflow_run"} | odd
    assert check(lambda: chatpost("send", "--ci", "hi")).status == 0


PROFILES = f"""default = "ops"
outbox = "local"
[mentions]
anna = "123"
team = ["anna", "456"]
[sendmail]
root = ["ops"]
"*@db.example" = "ops"
[profiles.ops]
url = "{SECRET_URL}"
title = "T"
once_per = "1h"
field = ["A=b"]
[profiles.b]
url = {{ env = "HOOK" }}
"""


@fuzz
@given(mangled(PROFILES))
def test_profile_files(chatpost: InProcess, check: Any, text: bytes) -> None:
    """Any profile file."""
    chatpost.env.pop("CHATPOST_URL", None)
    chatpost.write_profiles("").write_bytes(text)
    check(lambda: chatpost("send", "--dry-run", "-p", "ops", "--mention", "team", "hi"))


@fuzz
@given(
    mangled(SECRET_URL, "http://127.0.0.1:9/v1/spaces/A/messages?key=a&token=b").map(
        lambda raw: raw.decode(errors="replace")
    )
)
def test_webhook_urls(chatpost: InProcess, check: Any, url: str) -> None:
    """Any webhook URL."""
    chatpost.env["CHATPOST_URL"] = url.replace("\0", "").encode(errors="replace").decode()
    check(lambda: chatpost("send", "--dry-run", "hi"))


@fuzz
@given(
    mangled(
        "\x1b[31mred\x1b[0m\r10 %\r100 %\n\x1b]8;;https://x\x07link\x1b]8;;\x07\n",
        "é\n" * 20,
        b"\xff\xfeh\x00i\x00",
        SECRET_URL,
    )
)
def test_terminal_streams(chatpost: InProcess, chat: Emulator, check: Any, stream: bytes) -> None:
    """Any output of a program, posted as a text or as replies."""
    chat.space().messages.clear()
    check(lambda: chatpost("send", "--skip-empty", stdin=stream))
    check(lambda: chatpost("thread", "--follow", "--every", "0.001s", "T", stdin=stream))
    posted = "".join(message.text for message in chat.space().messages)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", posted)
    assert TOKEN not in posted
