"""Masking secrets in the output of jobs, in streams and in a CI."""

from __future__ import annotations

import html
import json
import re
import subprocess
import textwrap
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import pytest

from chatpost.chat.webhook import Webhook, mask_webhooks
from chatpost.content.secrets import SecretMask
from tests.conftest import KEY as WEBHOOK_KEY, PIECES, TOKEN, texts

if TYPE_CHECKING:
    from chatpost.emulator import Emulator
    from tests.conftest import InProcess, Shell

# In pieces, so that scanners of repositories do not take them for real ones.
TOKENS = {
    "GitHub": "gh" + "p_0123456789abcdefghijABCDEFGHIJ012345",
    "GitHub, fine-grained": "github" + "_pat_11ABCDEFG0123456789_abcdefghijklmnopqrstuvwxyz",
    "GitLab": "gl" + "pat-abcdefghij0123456789",
    "Slack": "xo" + "xb-123456789012-abcdefghijkl",
    "AWS": "AKI" + "AIOSFODNN7EXAMPLE",
    "Google": "AI" + "zaSyA1234567890abcdefghijklmnopqrstuv",
    "Google, access": "ya2" + "9.a0AfH6SMBx-0123456789abcdef",
    "JWT": "ey" + "JhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_def",
    "npm": "np" + "m_0123456789abcdefghijklmnopqrstuvwxyz",
}
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\nAAAAtzc2gtZWQ\n-----END OPENSSH PRIVATE KEY-----"


def test_values_of_variables() -> None:
    """The values of variables with secret-like names are masked line by line, the longest first."""
    mask = SecretMask(
        {
            "GITHUB_TOKEN": "ghp_1234",
            "a_secret_b": "ghp_1234567",
            "PASSWORD": "short",
            "DEPLOY_KEY": "first line\n  indented line\n",
            "KEYBOARD": "not a secret",
        }
    )
    assert mask("ghp_1234567 ghp_1234 short not a secret indented line") == "*** *** short not a secret ***"


@pytest.mark.parametrize(
    "name",
    [
        "BORG_PASSPHRASE",
        "DB_PASS",
        "PGPASSWORD",
        "MYSQL_PWD",
        "SSHPASS",
        "API_KEY_2",
        "AWS_CREDENTIALS",
        "BASIC_AUTH",
        "AUTHORIZATION",
        "client_secret",
        "Npm_Token",
        "APIKEY",
    ],
)
def test_names_of_secrets(name: str) -> None:
    """Variables are known as secrets by parts of their names."""
    assert SecretMask({name: "tr0ub4dor"})("it is tr0ub4dor.") == "it is ***."


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSH_KEY", "/home/me/.ssh/id_rsa"),
        ("TOKEN_FILE", "~/tokens/mine"),
        ("SECRETS", "./secrets/all"),
        ("KEY_PASS", "1234567890"),
        ("USE_AUTH", "disabled"),
        ("GIT_AUTHOR_NAME", "Ada Lovelace"),
        ("COMPASS", "north by west"),
        ("CHATPOST_THREAD_KEY", "nightly run"),
        ("PWD", "/var/lib/app"),
        ("PWD", "/home/me/My Documents"),
        ("SSH_KEY", "~/My Keys/id_rsa"),
        ("PASSED", "everything1"),
    ],
)
def test_values_that_are_no_secrets(name: str, value: str) -> None:
    """A path, a number, a boolean, an author or a thread key is not masked."""
    assert SecretMask({name: value})(f"cannot read {value}") == f"cannot read {value}"


def test_a_secret_that_looks_like_a_path() -> None:
    """A random value that begins with a slash is a secret."""
    value = "/abcDEF123456ghiJKL789/mnoPQRstuVWXyz012"
    assert SecretMask({"AWS_SECRET_ACCESS_KEY": value})(value) == "***"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://app:s3cr3t@db/x", "postgres://app:***@db/x"),
        ("https://bot:T0K3N@host/a@b", "https://bot:***@host/a@b"),
        ("redis://:p@ss@host", "redis://:***@host"),
        ("amqp://u:pa/ss@host", "amqp://u:***@host"),
        ("ssh://git@github.example/x", "ssh://git@github.example/x"),
        ("http://host:8080/x@y", "http://host:8080/x@y"),
    ],
)
def test_passwords_in_urls(text: str, shown: str) -> None:
    """The password of any URL is masked; a port, or a user alone, is not."""
    assert SecretMask({})(text) == shown


def test_the_password_of_a_variable() -> None:
    """The password in a variable's URL is masked wherever it appears, as written and decoded."""
    mask = SecretMask({"DATABASE_URL": "postgres://app:s%40cr3t-word@db/x"})
    assert mask("s%40cr3t-word or s@cr3t-word at db") == "*** or *** at db"


@pytest.mark.parametrize("token", [*TOKENS.values(), KEY], ids=[*TOKENS, "private key"])
def test_well_known_tokens(token: str) -> None:
    """Keys and tokens of well-known services are masked by their form."""
    assert SecretMask({})(f"a={token}; b") == "a=***; b"


VALUE = r"""tr0"ub\4dor"""


@pytest.mark.parametrize(
    "form", [VALUE, json.dumps(VALUE)[1:-1], quote(VALUE, safe=""), VALUE.replace("u", "\x1b[31mu\x1b[0m")]
)
def test_forms_of_a_value(secrets: Shell, chat: Emulator, form: str) -> None:
    """A value is also masked as JSON or a URL escapes it, and if colours are spread over it."""
    secrets.env["DB_PASSWORD"] = VALUE
    command = ["chatpost", "run", "--", "printf", "%s", form]
    done = subprocess.run(command, env=secrets.env, cwd=secrets.home, capture_output=True, check=False)
    assert (done.returncode, "ub" in texts(chat)[0], "***" in texts(chat)[0]) == (0, False, True)


@pytest.mark.parametrize("value", [b"caf\xe9-secret", b"pass\x1bword1", b"two\rwords1"])
def test_values_that_cleaning_changes(secrets: Shell, chat: Emulator, value: bytes) -> None:
    """A value that is not UTF-8, or has control characters, is masked as it is posted."""
    env = {**{name.encode(): its.encode() for name, its in secrets.env.items()}, b"MY_TOKEN": value}
    done = subprocess.run(["chatpost", "run", "--", "printenv", "MY_TOKEN"], env=env, capture_output=True, check=False)
    assert (done.returncode, texts(chat)[0].split("\n")[2]) == (0, "***")


def test_the_name_and_the_card_of_a_job(secrets: Shell, chat: Emulator) -> None:
    """`run` masks secrets in the job's name and in the parts of the card; an assignment is not the job's name."""
    assert secrets("run", "--", "A_PASSWORD=hunter-two", "x").status == 127
    assert secrets("run", "--name", f"job {TOKENS['GitHub']}", "--", "true").status == 0
    card = (
        "--title",
        "tr0ub4dor",
        "--subtitle",
        "hunter-two",
        "--field",
        "A=tr0ub4dor",
        "--button",
        "B=https://x/?p=tr0ub4dor",
    )
    assert secrets("run", *card, "--", "true").status == 0
    secrets.env |= {"GITHUB_ACTIONS": "true"}
    assert secrets("send", "--ci", *card, "text").status == 0
    for received in chat.received:
        assert not re.search(f"hunter-two|tr0ub4dor|{TOKENS['GitHub']}", received.body.decode())


def test_text_that_only_looks_like_a_secret() -> None:
    """Ordinary output stays readable: settings about secrets, prose about keys, addresses that are not URLs."""
    mask = SecretMask({"AUTH_TYPE": "password", "SECRET_NAME": "production", "CREDENTIAL_HELPER": "osxkeychain"})
    for text in (
        "deploying to production: invalid password, osxkeychain",
        "expected -----BEGIN PRIVATE KEY----- in key.pem\nFATAL: disk full",
        "http://[::1]:8080/a@b nats://a:4222,b:4222@c docker://img:tag@sha256:abc file://C:/a/b@c",
    ):
        assert mask(text) == text


def test_a_private_key_in_a_stream() -> None:
    """Each line of a private key in a stream is masked, and no line after its end."""
    mask = SecretMask({})
    assert [mask.line(line) for line in f"a\n{KEY}\nb".split("\n")] == ["a", "***", "***", "***", "***", "b"]
    begin = KEY.partition("\n")[0]
    assert [mask.line(line) for line in (begin, *["x"] * 1000)][-1] == "x"


@pytest.mark.parametrize(
    "piece",
    [
        "://a:",
        "://",
        "eyJ",
        "a@",
        "xox",
        '"x:y@',
        "-----BEGIN RSA PRIVATE KEY-----\n",
        "gh",
        "eyJaaaaaaaa-",
        "AKIA",
        "xoxb-",
        "hooks.slack.com/",
    ],
)
def test_masking_is_linear(piece: str) -> None:
    """Masking ten times the text takes some ten times the CPU time; quadratic time would be a hundred times as much."""
    mask = SecretMask({"A_TOKEN": "s3cr3t-word"})

    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        began = time.process_time()
        mask(text)
        return time.process_time() - began

    seconds(1000)
    assert min(seconds(150_000) for _ in range(2)) < 40 * min(seconds(15_000) for _ in range(2)) + 0.05


@pytest.fixture
def secrets(shell: Shell) -> Shell:
    """Return the command in an environment with secrets."""
    shell.env |= {"BORG_PASSPHRASE": "tr0ub4dor", "DATABASE_URL": "postgres://app:hunter-two@db/x"}
    return shell


PRINTED = f"tr0ub4dor hunter-two https://bot:T0K3N9@host {TOKENS['GitHub']}"
MASKED = "*** *** https://bot:***@host ***"


def test_the_output_of_a_job(secrets: Shell, chat: Emulator) -> None:
    """`run` masks secrets in the output and in the command line, but passes the output through unchanged."""
    done = secrets("run", "--show-command", "--", "echo", PRINTED, redirect="> out.txt")
    assert done.status == 0
    assert (secrets.home / "out.txt").read_text() == f"{PRINTED}\n"
    assert texts(chat)[0].count(MASKED) == 2


def test_a_followed_stream(secrets: Shell, chat: Emulator) -> None:
    """`thread --follow` masks secrets in the lines of stdin, and private keys."""
    assert secrets("thread", "--follow", "--every", "0.1s", "start", stdin=f"{PRINTED}\n{KEY}\nend\n").status == 0
    posted = "\n".join(texts(chat))
    assert MASKED in posted
    assert "b3BlbnNzaC1rZXk" not in posted
    assert "end" in posted


def test_a_text_in_a_ci(secrets: Shell, chat: Emulator) -> None:
    """`--ci` masks secrets in the text, typed or piped, and in the run's own values."""
    secrets.env |= {"GITHUB_ACTIONS": "true", "GITHUB_REF_NAME": "tr0ub4dor", "GITHUB_REF_TYPE": "branch"}
    assert secrets("send", "--ci", "--as", "text", PRINTED).status == 0
    assert secrets("send", "--ci", "--as", "text", "said:", "-", stdin=PRINTED).status == 0
    assert all(MASKED in text for text in texts(chat))
    assert all("*Branch*: ***" in text.replace("\u200b", "") for text in texts(chat))


URL = f"https://chat.googleapis.com/v1/spaces/AAAA/messages?key={WEBHOOK_KEY}&token={TOKEN}"
PERCENT = quote(URL, safe="")
URL_FORMS = {
    "plain": URL,
    "percent-encoded": PERCENT,
    "percent-encoded in lower case": re.sub("%..", lambda code: code[0].lower(), PERCENT),
    "percent-encoded twice": quote(PERCENT, safe=""),
    "percent-encoded three times": quote(quote(PERCENT, safe=""), safe=""),
    "in JSON, with slashes escaped": URL.replace("/", "\\/"),
    "in JSON, with codes": re.sub("[/&=?]", lambda sign: f"\\u{ord(sign[0]):04x}", URL),
    "in JSON in JSON": json.dumps(json.dumps(URL.replace("/", "\\/"))),
    "for a shell": re.sub("([?&=])", r"\\\1", URL),
    "with a slash before the query": URL.replace("?", "/?"),
    "in HTML": html.escape(URL),
    "in HTML, with codes": URL.replace("=", "&#x3D;").replace("&t", "&#38;t"),
    "folded after &": URL.replace("&", "&\n  "),
    "folded by backslashes": "\\\n".join(URL[i : i + 75] for i in range(0, len(URL), 75)),
    "quoted-printable": re.sub("(.{75})", "\\1=\n", URL.replace("=", "=3D")),
    "with invisible characters": "\u200b".join(URL),
    "as parameters of curl": f"curl -G {URL.partition('?')[0]} -d key={WEBHOOK_KEY} -d token={TOKEN}",
    "as a dictionary": json.dumps(
        {"url": URL.partition("?")[0], "params": {"key": WEBHOOK_KEY, "token": unquote(TOKEN)}}
    ),
}
OWN_FORMS = {
    "the key alone": WEBHOOK_KEY,
    "the token alone": TOKEN,
    "the token decoded": unquote(TOKEN),
    "folded": "\n".join(textwrap.wrap(URL, 72)),
    "folded in JSON": json.dumps("\n".join(textwrap.wrap(URL, 72))),
    "every character encoded": "".join(f"%{ord(character):02x}" for character in URL),
}


def has_secret(text: str) -> bool:
    """Return whether a piece of the webhook's secrets is in the text, or in the text without its escapes."""
    for _ in range(5):
        text = unquote(html.unescape(re.sub(r"\\u([0-9a-f]{4})", lambda code: chr(int(code[1], 16)), text)))
    plain = re.sub(r"[\u200b\\\s]|=\n", "", text.replace("=3D", "="))
    return any(piece in plain for piece in PIECES)


@pytest.mark.parametrize("form", [*URL_FORMS.values(), *OWN_FORMS.values()], ids=[*URL_FORMS, *OWN_FORMS])
def test_the_secrets_of_the_webhook_itself(form: str) -> None:
    """A text to post has neither the key nor the token of its own webhook, in any form; the rest of it stays."""
    assert has_secret(form)
    masked = Webhook.parse(URL).mask_posted(f"before {form} after")
    assert not has_secret(masked)
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    assert "***" in masked


@pytest.mark.parametrize("form", URL_FORMS.values(), ids=URL_FORMS)
def test_the_url_of_any_webhook(form: str) -> None:
    """The URL of any other webhook is masked by its form."""
    assert not has_secret(mask_webhooks([f"before {form} after"])[0])


@pytest.mark.parametrize(
    "text", ["97 % of a & b \\ c", "C:\\temp\\new", "&amp; %41 \\u0041", "see /messages?key=value"]
)
def test_nothing_else_is_changed(text: str) -> None:
    """A text without a webhook's secret is posted unchanged, escapes included."""
    assert Webhook.parse(URL).mask_posted(text) == text
    assert mask_webhooks(text) == text


@pytest.mark.parametrize("form", [*URL_FORMS.values(), *OWN_FORMS.values()], ids=[*URL_FORMS, *OWN_FORMS])
def test_no_message_has_its_own_secret(chatpost: InProcess, chat: Emulator, form: str) -> None:
    """`send` and the outbox's file mask the webhook's own secrets in a text, a card and a title."""
    assert chatpost("send", "-", stdin=f"see {form}.").status == 0
    assert chatpost("send", "--title", f"T {form}", "--field", f"F={form}", "-", stdin=form).status == 0
    assert chatpost("send", "--spool-only", "-", stdin=f"see {form}.").status == 0
    stored = (chatpost.home / "state" / "chatpost" / "outbox.sqlite3").read_bytes().decode(errors="replace")
    assert not has_secret(stored)
    for received in chat.received:
        assert not has_secret(received.body.decode())


@pytest.mark.parametrize("overflow", ["split", "head", "tail"])
@pytest.mark.parametrize("shift", range(0, 160, 16))
def test_no_secret_at_a_cut(chatpost: InProcess, chat: Emulator, overflow: str, shift: int) -> None:
    """A URL across the place where a long text is split or cut is masked before."""
    text = "x" * (31_950 - shift) + f" {URL} " if overflow != "tail" else f"{URL} " + "x" * (31_950 - shift)
    assert chatpost("send", "--overflow", overflow, "-", stdin=text + "y" * 10_000).status == 0
    for received in chat.received:
        assert not has_secret(received.body.decode())


def test_the_time_of_masking_a_webhook() -> None:
    """Masking ten times the text takes some ten times the CPU time, for each kind of escape."""
    webhook = Webhook.parse(URL)
    for piece in ("97 % of a & b \\ c ", "%25", "&amp;", "messages v1/spaces/a/messages key=", "\u200b", "a=\n"):
        seconds = []
        for size in (20_000, 200_000):
            text = piece * (size // len(piece))
            began = time.process_time()
            webhook.mask_posted(text)
            mask_webhooks(text)
            seconds.append(time.process_time() - began)
        assert seconds[1] < 40 * seconds[0] + 0.1, piece


def test_the_output_of_a_job_has_no_secret_of_the_webhook(secrets: Shell, chat: Emulator) -> None:
    """`run` masks the webhook's own secrets in the output, also folded, and in the replies of `--follow`."""
    url = secrets.env["CHATPOST_URL"]
    folded = "\n".join(textwrap.wrap(url, 40))
    for argv in ((), ("--follow", "--every", "0.1s")):
        command = ("chatpost", "run", *argv, "--", "printf", "%s\n%s\n", folded, quote(url, safe=""))
        done = subprocess.run(command, env=secrets.env, cwd=secrets.home, capture_output=True, check=False)
        assert done.returncode == 0
    assert len(chat.received) >= 3
    for received in chat.received:
        assert not has_secret(received.body.decode())


@pytest.mark.parametrize(
    "token", ["3DQx7mBv_w2Zk9LtRr4YpNc8Hd3GfJs", "20Qx7mBv_w2Zk9LtRr4YpNc8Hd3GfJs", "nQx7mBv_w2Zk9LtRr4YpNc8"]
)
@pytest.mark.parametrize("before", ["token=", "100%", "\\x", "\\"])
def test_a_token_that_looks_like_an_escape(token: str, before: str) -> None:
    """A token whose beginning the decoder could take for an escape is masked all the same."""
    webhook = Webhook.parse(URL.replace(TOKEN, token))
    assert webhook.mask_posted(f"see {before}{token}") == f"see {before}***"


@pytest.mark.parametrize(
    "text",
    [
        "v1/spaces/x/messages: primary key: customer_id, sort key = created_at",
        '/v1/spaces/A/messages {"key": "deploy-nightly-build", "token": "unchanged"}',
        "GET /v1/spaces/AAA/messages/xyz.abc 403; cache key=users:1234:profile",
    ],
)
def test_words_near_a_path(text: str) -> None:
    """Ordinary words after a webhook's path are no secrets."""
    assert mask_webhooks(text) == text


@pytest.mark.parametrize("argv", [("--name", f"{'n' * 170}{TOKEN}"), ("--show-command",)])
def test_cuts_of_a_job(secrets: Shell, chat: Emulator, argv: tuple[str, ...]) -> None:
    """A long name or command line is cut after masking."""
    command = ["chatpost", "run", *argv, "--", "true", "a" * 970, TOKEN]
    assert subprocess.run(command, env=secrets.env, capture_output=True, check=False).returncode == 0
    assert not has_secret(chat.received[0].body.decode())


def test_the_webhook_in_a_thread_key(chatpost: InProcess, chat: Emulator) -> None:
    """A thread key with the webhook's URL does not carry its secrets."""
    assert chatpost("send", "-k", f"dep {chatpost.env['CHATPOST_URL']}", "hi").status == 0
    assert not has_secret(chat.received[0].body.decode())
