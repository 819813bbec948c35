from __future__ import annotations

import json
import os
import re
import threading
import time
from email.message import EmailMessage
from email.policy import SMTP
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from chatpost.chat.message import SIZE_LIMIT
from chatpost.mail.html import html_to_text
from chatpost.mail.parse import Attachment, Mail, parse_mail
from chatpost.mail.source import RawMail, read_mail
from chatpost.mail.text import text_of_mail
from chatpost.profiles.recipients import profiles_for
from tests.conftest import KEY, TOKEN, Finished, answering, texts, wait_for, wait_for_requests
from tests.senders import MailHost
from tests.tools import need

if TYPE_CHECKING:
    from pathlib import Path

    from chatpost.emulator import Emulator
    from tests.conftest import InProcess, Shell

CRON = """\
From: root (Cron Daemon)
To: root
Subject: Cron <root@db-1> backup.sh --full
Content-Type: text/plain; charset=UTF-8
X-Cron-Env: <HOME=/root>

backup done
"""
PROFILES = """\
[sendmail]
root = "ops"
"*@db.example" = ["db", "ops"]
default = "rest"
"""


MULTIPART = b"Content-Type: multipart/%s; boundary=b%d\n\n--b%d\n"
HTML_PART = b"--b1\nContent-Type: text/html\n\n<p>the text</p>\n--b1--\n"


def mail(*headers: str, body: str = "hi") -> bytes:
    return "\n".join([*headers, "", body]).encode()


def raw_mail(*headers: str, body: str = "hi") -> RawMail:
    return RawMail(mail(*headers, body=body))


def message_of(raw: bytes | str, host: str = "db-1") -> str:
    """Return the text for a mail."""
    given = raw.encode() if isinstance(raw, str) else raw
    return text_of_mail(parse_mail(RawMail(given)), host, str).beginning


# Parsing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"just a text",
        b"Warning: disk full\nnothing else",
        b"Error: a\nTime: b\n\nand more",
        b" indented\ntext",
        b"https://example.com/a\n\nb",
        b"\xff\xfe\x00",
    ],
)
def test_no_headers(raw: bytes) -> None:
    """Without headers that mail has, all of it is text: a first line like `Warning: ...` is no header."""
    assert parse_mail(RawMail(raw)) == Mail(raw.decode("latin-1") if b"\xff" in raw else raw.decode())


@pytest.mark.parametrize(
    "raw",
    [
        b"Subject: A\n\nhi",
        b"From root@db-1 Sun Nov 29 10:00:00 2026\nSubject: A\n\nhi",
        b"\nSubject: A\n\nhi",
        b"X-Odd: 1\r\nSubject: A\r\n\r\nhi\r\n",
        b"Subject: A\nhi",
    ],
)
def test_headers(raw: bytes) -> None:
    """Headers are found after mbox's line, with either line end, and without an empty line below them."""
    found = parse_mail(RawMail(raw))
    assert (found.subject, found.text) == ("A", "hi")


@pytest.mark.parametrize(
    ("headers", "body", "text"),
    [
        (["Content-Transfer-Encoding: quoted-printable"], "caf=C3=A9 =\nau lait", "café au lait"),
        (["Content-Transfer-Encoding: base64"], "Y2Fmw6k=", "café"),
        (
            ["Content-Type: text/plain; charset=iso-8859-15", "Content-Transfer-Encoding: quoted-printable"],
            "5 =A4",
            "5 €",
        ),
        (["Content-Type: text/plain; charset=shift_jis", "Content-Transfer-Encoding: base64"], "k/qWew==", "日本"),
        (["Content-Type: text/plain; charset=no-such", "Content-Transfer-Encoding: 8bit"], "café", "café"),
        (["Content-Type: text/plain; charset=us-ascii"], "café", "café"),
        (["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable"], "caf=E9", "café"),
        (["Content-Transfer-Encoding: base64"], "!!! not base64", None),
        (["Content-Type: text/html"], "<p>Hello <b>you</b></p>", "Hello you"),
    ],
)
def test_encodings(headers: list[str], body: str, text: str | None) -> None:
    """Transfer encodings and charsets are decoded; a wrong or missing charset costs no text."""
    found = parse_mail(raw_mail("Subject: A", *headers, body=body))
    assert found.text == text if text is not None else found.subject == "A"


@pytest.mark.parametrize(
    ("header", "subject"),
    [
        ("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= =?utf-8?q?_an_alle?=", "Grüße an alle"),
        ("Subject: =?iso-8859-1?q?caf=E9?= =?no-such?q?x?=", "caféx"),
        ("Subject: Grüße", "Grüße"),
        ("Subject: a\n folded\n\tline", "a folded line"),
        ("Subject: =?utf-8?b?broken", "=?utf-8?b?broken"),
    ],
)
def test_subjects(header: str, subject: str) -> None:
    """RFC 2047 subjects, raw UTF-8 and folded lines are decoded."""
    assert parse_mail(raw_mail(header)).subject == subject


def test_parts() -> None:
    """Of alternatives, the plain text counts; attachments are named with their sizes, and not posted."""
    message = EmailMessage()
    message["Subject"] = "Report"
    message.set_content("The report is attached.\n")
    message.add_alternative("<p>The <b>report</b></p>", subtype="html")
    message.add_attachment(b"x" * 12_345, maintype="application", subtype="pdf", filename="Bericht März.pdf")
    message.add_attachment("a,b\n", subtype="csv", filename="data.csv")
    found = parse_mail(RawMail(message.as_bytes(policy=SMTP)))
    assert found.text == "The report is attached."
    assert [each.name for each in found.attachments] == ["Bericht März.pdf", "data.csv"]
    assert message_of(message.as_bytes()).splitlines()[-2:] == [
        "Attachment: Bericht März.pdf (12.3 KB)",
        "Attachment: data.csv (4 bytes)",
    ]


def test_a_mail_in_a_mail() -> None:
    """A forwarded mail is an attachment."""
    inner, outer = EmailMessage(), EmailMessage()
    inner["Subject"] = "Inner"
    inner.set_content("secret")
    outer["Subject"] = "Fwd"
    outer.set_content("see below")
    outer.add_attachment(inner)
    found = parse_mail(RawMail(outer.as_bytes()))
    assert (found.text, [each.name for each in found.attachments]) == ("see below", ["message/rfc822"])


def test_html() -> None:
    """HTML becomes text: blocks on lines, links with their targets, no scripts."""
    html = """<html><head><title>t</title><style>p {}</style></head><body><script>x()</script>
    <h1>Title</h1><p>One   two<br>three &amp; four</p><ul><li>a<li>b</ul>
    <a href="https://x.example/">the log</a> <a href="https://y.example/">https://y.example/</a>
    <pre>  kept
    as is</pre><table><tr><td>a</td><td>b</td></tr>
    <tr><td>c</td><td><img alt="a chart" src="x"></td></tr></table>"""
    assert html_to_text(html) == (
        "Title\n\nOne two\nthree & four\n\n• a\n• b\n\nthe log (https://x.example/) https://y.example/\n\n"
        "  kept\n    as is\n\na b\nc a chart"
    )


@given(
    st.binary(max_size=400) | st.binary(max_size=300).map(b"Content-Type: multipart/mixed; boundary=x\n\n--x\n".__add__)
)
def test_any_bytes(raw: bytes) -> None:
    """No mail makes the parser fail."""
    assert text_of_mail(parse_mail(RawMail(raw)), "db-1", str).beginning.strip()


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(
            b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(3000)),
            id="nesting",
        ),
        pytest.param(b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\n\n" * 500_000, id="parts"),
        pytest.param(b"Subject: A\nContent-Type: text/html\n\n" + b"<a " * 500_000, id="tags"),
        pytest.param(b"Subject: A\nContent-Type: text/html\n\n" + b"<!--" * 500_000 + b"-->", id="comments"),
        pytest.param(b"Subject: A\nContent-Type: text/html\n\nx" + b"<b> </b>" * 300_000, id="spaces"),
        pytest.param(b"Subject: A\nContent-Type: text/html\n\n" + b"<" * 1_000_000 + b">", id="signs"),
        pytest.param(b"Subject: " + b"=?a?q?" * 300_000 + b"\n\nx", id="words"),
        pytest.param(b"Subject: A\nContent-Type: text/plain" + b"; a=b" * 300_000 + b"\n\nx", id="parameters"),
        pytest.param(b"Subject: A\nContent-Type: text/plain; charset=punycode\n\n" + b"x" * 1_000_000, id="punycode"),
        pytest.param(b"Subject: A\n\n" + b"%25" * 1_300_000, id="escapes"),
    ],
)
def test_bounded_time(chatpost: InProcess, chat: Emulator, raw: bytes) -> None:
    """A mail that was made to take long is posted in seconds, whatever of it is shown."""
    began = time.process_time()
    assert chatpost("sendmail", "-i", "root", stdin=raw).status == 0
    assert time.process_time() - began < 15
    assert texts(chat)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"From now on backups are disabled", "From now on backups are disabled"),
        (b"Subject: A\nContent-Type: multipart/mixed\n\nthe text", "the text"),
        (b"Subject: A\nContent-Type: multipart/mixed; boundary=zzz\n\nthe text", "the text"),
        (b"Subject: A\n" + MULTIPART % (b"alternative", 1, 1) + b"\n\n" + HTML_PART, "the text"),
        (
            b"Subject: A\n"
            + MULTIPART % (b"alternative", 1, 1)
            + b"Content-Type: text/plain; name=x\n\nx\n"
            + HTML_PART,
            "the text",
        ),
        (b"Subject: A\nContent-Type: text/markdown\n\nthe text", "the text"),
        (b"Subject: A\nContent-Disposition: attachment; filename=a.txt\n\nthe text", "the text"),
        (b"Host: db1\nDate: today\nStatus: failed\n", "Host: db1\nDate: today\nStatus: failed"),
        (b"Subject: =?utf-8?b?aaaaa?=\nBcc: secret@hidden.example\n\nthe text", "the text"),
        (b"Subject: A\nBcc : secret@hidden.example,\n other@hidden.example\n\nthe text", "the text"),
        (b"Subject: A\nContent-Type: text/plain; charset=utf-7\n\n+2AA- the text", "+2AA- the text"),
    ],
)
def test_no_fault_loses_the_text(raw: bytes, text: str) -> None:
    """Malformed mail keeps its text, and hides the recipients of Bcc."""
    found = parse_mail(RawMail(raw))
    assert (found.text, "hidden" in found.text + found.subject) == (text or "the text", False)


@pytest.mark.parametrize("place", range(1, 26))
def test_a_dot_in_two_pieces(place: int) -> None:
    """Wherever a pipe divides the mail, only a line with only a dot ends it."""
    given = b"Subject: A\n\nDone.\r\na.\n.\r\nb\n"
    read, write = os.pipe()
    os.write(write, given[:place])

    def write_rest() -> None:
        os.write(write, given[place:])
        os.close(write)

    timer = threading.Timer(0.01, write_rest)
    timer.start()
    assert read_mail(read, ends_at_dot=True).content == b"Subject: A\n\nDone.\r\na.\n"
    timer.join()
    os.close(read)


# Text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "line"),
    [
        ("Cron <root@db-1> backup.sh --full", "*backup.sh --full* on db-1 (root)"),
        ("Cron <root@db-1> cd / && test -x /usr/sbin/anacron", "*cd / && test -x /usr/sbin/anacron* on db-1 (root)"),
        ("Output from your job        7", "*Output from your job 7* on db-1"),
        ("SMART error on host: db-1", "*SMART error on host: db-1*"),
        ("a *b* <users/all>", "*a *\u200bb* <\u200busers/all>* on db-1"),
        ("", "*(no subject)* on db-1"),
    ],
)
def test_the_first_line(subject: str, line: str) -> None:
    """The subject is the first line, bold, with the host unless it has it, and without markup or mentions."""
    assert message_of(mail(f"Subject: {subject}")).splitlines()[0] == line


@pytest.mark.parametrize(
    ("body", "is_code"),
    [
        ("All went well.\n\nRegards,\nthe server", False),
        ("Filesystem      Size  Used\n/dev/sda1        20G   19G", True),
        ("2026-11-29 10:00:00 error: no space", True),
        ("Nov 29 10:00:00 db-1 sshd[1]: failed", True),
        ("+ ./deploy.sh\nok", True),
        ("Traceback:\n  File x", True),
        ("[error] no space", True),
    ],
)
def test_code(body: str, *, is_code: bool) -> None:
    """The text is code if it looks like a program's output."""
    assert ("```" in message_of(mail("Subject: A", body=body))) is is_code


def test_the_output_of_a_job_is_code() -> None:
    """What cron and at send is always code."""
    assert message_of(CRON) == "*backup.sh --full* on db-1 (root)\n```\nbackup done\n```"
    assert message_of("Subject: Output from your job 7\n\ndone") == "*Output from your job 7* on db-1\n```\ndone\n```"


def test_without_a_text() -> None:
    """A mail without a text is posted, too."""
    assert message_of("Subject: A\n\n\n") == "*A* on db-1 (empty)"
    assert message_of("") == "*(no subject)* on db-1 (empty)"


def test_many_attachments() -> None:
    """Only the first attachments are named."""
    found = Mail("hi", "A", attachments=tuple(Attachment(f"<f{n}>", 2_000_000) for n in range(25)))
    lines = text_of_mail(found, "db-1", str).beginning.splitlines()
    assert lines[2] == "Attachment: <\u200bf0> (2.0 MB)"
    assert lines[-1] == "and 5 more attachments"


# Recipients -----------------------------------------------------------------------------------------------------

ROUTES = {"root": ("ops",), "*@db.example": ("db", "ops"), "dev@x.example": ("dev",), "default": ("rest",)}


@pytest.mark.parametrize(
    ("recipients", "profiles"),
    [
        (["root"], ("ops",)),
        (["ROOT@Web.example"], ("ops",)),
        (["anna@db.example"], ("db", "ops")),
        (["root@db.example"], ("ops",)),
        (["dev@x.example", "root"], ("dev", "ops")),
        (["anna"], ("rest",)),
        (["anna", "root"], ("rest", "ops")),
        ([], ("rest",)),
    ],
)
def test_profiles_for(recipients: list[str], profiles: tuple[str, ...]) -> None:
    """An address, a name or a pattern chooses profiles, each once; without a match, the default does."""
    assert profiles_for(recipients, ROUTES, "web.example") == profiles
    assert profiles_for(["anna"], ROUTES, "db.example") == ("db", "ops")
    assert profiles_for(["anna"], {"root": ("ops",)}, "web") == ()


@pytest.fixture
def host(chatpost: InProcess, chat: Emulator) -> InProcess:
    """Return the command with profiles for recipients, and without CHATPOST_URL."""
    spaces = "".join(f'[profiles.{name}]\nurl = "{chat.url(space=name)}"\n' for name in ("ops", "db", "rest"))
    chatpost.write_profiles(PROFILES + spaces)
    del chatpost.env["CHATPOST_URL"]
    return chatpost


def counts(chat: Emulator) -> dict[str, int]:
    return {name: len(texts(chat, name)) for name in ("ops", "db", "rest")}


@pytest.mark.parametrize(
    ("argv", "posted"),
    [
        (["root"], (1, 0, 0)),
        (["root,anna@db.example"], (1, 1, 0)),
        (["anna"], (0, 0, 1)),
        ([], (0, 0, 1)),
        (["-t"], (1, 1, 0)),
        (["-ti", "nobody"], (1, 1, 1)),
        (["--profile", "rest", "root"], (0, 0, 1)),
        (
            ["-oi", "-FCronDaemon", "-odi", "-oem", "-B8BITMIME", "-f", "me@x", "-r", "you", "-N", "never", "root"],
            (1, 0, 0),
        ),
        (["-bm", "-V", "id", "-G", "-v", "--", "root"], (1, 0, 0)),
        (["-eq", "-h", "5", "-D/tmp/log", "-xh", "root"], (1, 0, 0)),
        (["root", "-z", "-Q9"], (1, 0, 0)),
    ],
)
def test_recipients(host: InProcess, chat: Emulator, argv: list[str], posted: tuple[int, ...]) -> None:
    """Recipients on the command line, and with -t in the headers, choose the profiles; unknown flags lose no mail."""
    done = host("sendmail", *argv, stdin=mail("To: Root <root>", "Bcc: anna@db.example", "Subject: A"))
    assert (done.status, done.out) == (0, "")
    assert tuple(counts(chat).values()) == posted
    assert not any("anna" in text for space in ("ops", "db", "rest") for text in texts(chat, space))


def test_the_environment_chooses(host: InProcess, chat: Emulator) -> None:
    """CHATPOST_URL and CHATPOST_PROFILE take precedence over [sendmail]."""
    host.env["CHATPOST_PROFILE"] = "db"
    assert host("sendmail", "root", stdin=CRON).status == 0
    host.env["CHATPOST_URL"] = chat.url()
    assert host("sendmail", "root", stdin=CRON).status == 0
    assert (counts(chat), len(texts(chat))) == ({"ops": 0, "db": 1, "rest": 0}, 1)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('root = "nope"', "sendmail.root names a profile that is not in this file (it has: ops)"),
        ("root = 7", "sendmail.root is not the name of a profile in quotes"),
        ("root = []", "sendmail.root is not the name of a profile in quotes"),
        ('root.x = "ops"', "sendmail.root is a table: quote a recipient that contains a dot"),
        ('root = "ops"\nRoot = "ops"', "sendmail has Root twice"),
    ],
)
def test_a_wrong_table(chatpost: InProcess, table: str, said: str) -> None:
    """A recipient of an unknown profile is an error that names it; the status is 75, as for any failure."""
    chatpost.write_profiles(f'[sendmail]\n{table}\n[profiles.ops]\nurl = "https://chat.googleapis.com/x"\n')
    del chatpost.env["CHATPOST_URL"]
    chatpost("sendmail", "root", stdin=CRON).expect(75, said)
    chatpost("profiles", "list").expect(78, said)


# The command ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("argv", "text"), [([], "a"), (["-i"], "a\n.\nb"), (["-oi"], "a\n.\nb")])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_dot(chatpost: InProcess, chat: Emulator, argv: list[str], text: str, line_end: str) -> None:
    """A line with only a dot ends the mail, unless -i or -oi is given."""
    assert chatpost("sendmail", *argv, "root", stdin="Subject: A\n\na\n.\nb\n".replace("\n", line_end)).status == 0
    assert texts(chat)[0].partition("\n")[2] == text


def test_a_dot_ends_reading(shell: Shell, chat: Emulator) -> None:
    """After the dot, chatpost does not wait for the end of stdin."""
    running = shell.start("sendmail", "root")
    for piece in (b"Subject: A\n\na", b"\n", b".", b"\n"):
        running.write(piece)
    wait_for("the message", lambda: texts(chat))
    running.end()


def test_dots_in_the_text(chatpost: InProcess, chat: Emulator) -> None:
    """Other dots do not end it, and a dot at the very end is dropped."""
    assert chatpost("sendmail", "root", stdin="Subject: A\n\n..\n.a\na.\n.").status == 0
    assert texts(chat)[0].partition("\n")[2] == "..\n.a\na."


@pytest.mark.parametrize(
    ("argv", "status"),
    [(["-bs"], 2), (["-bd"], 2), (["-bv"], 2), (["-bi"], 2), (["-q15m"], 2), (["--nope"], 75), (["root", "-f"], 75)],
)
def test_refused(chatpost: InProcess, chat: Emulator, argv: list[str], status: int) -> None:
    """What a mail server would do is refused in one line; a wrong option exits with 75, as any failure."""
    done = chatpost("sendmail", *argv, stdin=CRON)
    assert (done.status, done.out, done.err.count("\n"), texts(chat)) == (status, "", 1, [])


def test_a_bad_profile_among_several(host: InProcess, chat: Emulator) -> None:
    """A profile that cannot be used does not keep the mail from the others; the status is 75."""
    text = host.config.read_text().replace("[sendmail]", '[sendmail]\nboth = ["bad", "ops"]')
    host.write_profiles(text + '[profiles.bad]\nurl = { file = "/nowhere" }\n')
    host("sendmail", "both", stdin=CRON).expect(75, "profile bad: ", "/nowhere")
    assert counts(chat) == {"ops": 1, "db": 0, "rest": 0}


def test_deleting_a_profile(host: InProcess, chat: Emulator) -> None:
    """A deleted profile leaves [sendmail], too, so that the file stays valid."""
    host("profiles", "delete", "ops").expect(0)
    assert host("sendmail", "root", stdin=CRON).status == 0
    assert host("sendmail", "anna@db.example", stdin=CRON).status == 0
    assert counts(chat) == {"ops": 0, "db": 1, "rest": 1}


def test_secrets_at_a_cut(chatpost: InProcess, chat: Emulator) -> None:
    """A secret is masked before a subject is cut."""
    for length in range(440, 500, 7):
        assert chatpost("sendmail", "root", stdin=mail(f"Subject: {'x' * length} {TOKEN}")).status == 0
    assert not any(TOKEN[:8] in text for text in texts(chat))


def test_the_outbox(chatpost: InProcess, chat: Emulator) -> None:
    """If Chat is away, the mail is in the outbox, quietly; -bp lists it, and -q flushes it."""
    chat.faults += [answering(503)]
    assert chatpost("sendmail", "--retries", "0", "root", stdin=CRON) == (0, "", "")
    assert "*backup.sh --full* on db-1" in chatpost("sendmail", "-bp").out
    assert chatpost("sendmail", "-q").status == 0
    assert len(texts(chat)) == 1
    chatpost("sendmail", "-bp").expect(0, "the outbox is empty")


def test_a_failure(chatpost: InProcess, chat: Emulator) -> None:
    """Every failure exits with 75: no outbox, a wrong webhook, a closed stdin. Rejected mail stays in the outbox."""
    chat.faults += [answering(503), answering(403)]
    chatpost("sendmail", "--no-spool", "--retries", "0", "root", stdin=CRON).expect(75, "may have been posted")
    assert chatpost("sendmail", "root", stdin=CRON) == (0, "", "")
    assert "key or token is invalid" in chatpost("sendmail", "-bp").out
    chatpost("sendmail", "root", redirect="<&-").expect(75, "stdin is closed")
    chatpost.env["CHATPOST_URL"] = "https://example.com/"
    done = chatpost("sendmail", "root", stdin=CRON).expect(75, "CHATPOST_URL")
    assert done.err.count("\n") == 1


def test_the_deadline(shell: Shell, chat: Emulator) -> None:
    """A mail of several messages does not extend the deadline: the rest stays in the outbox."""
    shell.env["CHATPOST_PACING"] = "1"
    body = "line of the log\n" * 5000
    done = shell("sendmail", "--deadline", "10s", "--interval", "60s", "root", stdin=f"Subject: A\n\n{body}")
    assert (done.status, done.out) == (0, "")
    assert len(texts(chat)) == 1
    assert len(shell("outbox", "list", "-o", "json").out.splitlines()) == 2


def test_secrets_and_mentions(chatpost: InProcess, chat: Emulator) -> None:
    """Secrets are masked, also those of the webhook, and nobody is mentioned."""
    chatpost.env["DB_PASSWORD"] = "hunter2-and-more"
    body = f"password hunter2-and-more, {chat.url(key=KEY, token=TOKEN)}, <users/all>"
    given = mail("Subject: hunter2-and-more <users/all>", "Content-Disposition: inline", body=body)
    assert chatpost("sendmail", "root", stdin=given).status == 0
    (text,) = texts(chat)
    assert "hunter2" not in text
    assert "<users/" not in text
    assert KEY not in text


def test_mentions_of_a_profile(chatpost: InProcess, chat: Emulator) -> None:
    """Options apply as for send: mentions, a thread, once per hour."""
    argv = ("--mention", "all", "-k", "cron", "--once-per", "1h", "root")
    for _ in range(2):
        assert chatpost("sendmail", *argv, stdin=CRON) == (0, "", "")
    (message,) = chat.space().messages
    assert message.text.startswith("<users/all> *backup.sh")
    assert message.body["thread"] == {"threadKey": "cron"}


def test_a_huge_mail(shell: Shell, chat: Emulator) -> None:
    """Of a text that needs too many messages, the subject and the end are posted; a huge mail takes bounded memory."""
    body = "a line of the log\n" * 2_000_000
    assert shell("sendmail", "-i", "root", stdin=f"Subject: Cron <root@db-1> x\n\n{body}").status == 0
    (text,) = texts(chat)
    assert text.startswith("*x* on db-1 (root)\n[")
    assert "bytes omitted before this]\n```\n" in text
    assert SIZE_LIMIT * 0.9 < len(text.encode()) <= SIZE_LIMIT


def test_without_an_environment(shell: Shell, chat: Emulator, tmp_path: Path) -> None:
    """It works without HOME and the other variables, from the system's profile file."""
    profiles = tmp_path / "etc" / "chatpost" / "profiles.toml"
    profiles.parent.mkdir(parents=True)
    profiles.write_text(f'[profiles.ops]\nurl = "{chat.url()}"\n')
    profiles.chmod(0o600)
    shell.env = {"PATH": shell.env["PATH"], "XDG_CONFIG_DIRS": str(tmp_path / "etc"), "XDG_STATE_HOME": str(tmp_path)}
    assert shell("sendmail", "root", stdin=CRON) == Finished(0, "", "")
    assert len(texts(chat)) == 1


def test_dry_run(chatpost: InProcess, chat: Emulator) -> None:
    """--dry-run prints the request, without sending it."""
    done = chatpost("sendmail", "--dry-run", "root", stdin=CRON)
    assert json.loads(done.out)["body"]["text"].startswith("*backup.sh")
    assert (done.status, texts(chat)) == (0, [])


# Real programs --------------------------------------------------------------------------------------------------

_CRONTAB = r"""
mkdir -m 1730 /var/spool/cron/crontabs; chgrp crontab /var/spool/cron/crontabs
printf '@reboot echo "from cron"\n' > /var/spool/cron/crontabs/root; chmod 600 /var/spool/cron/crontabs/root
exec cron -f
"""
_AT = """
mkdir -m 1770 /var/spool/cron/atjobs /var/spool/cron/atspool; touch /var/spool/cron/atjobs/.SEQ
chown -R daemon:daemon /var/spool/cron/at*
echo 'echo from at' | at now; echo 'echo from batch' | batch
exec atd -f -b 1 -l 1000
"""
_SMARTD = r"""
printf 'This message was generated by the smartd daemon running on:\n\n   host name:  db-1\n' |
/usr/share/smartmontools/smartd-runner -s 'SMART error (EmailTest) detected on host: db-1' root
"""
_UNATTENDED = """
/usr/bin/python3 - <<'END'
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
loader = SourceFileLoader("unattended", "/usr/bin/unattended-upgrade")
module = module_from_spec(spec_from_loader("unattended", loader))
loader.exec_module(module)
text = "All upgrades installed: caf\\u00e9"
raise SystemExit(module._send_mail_using_sendmail("root", "root", "unattended-upgrades result for db-1", text))
END
"""
_MAIL = "echo 'from mail' | s-nail -s 'A subject' root"

_SMART_ERROR = """\
*SMART error (EmailTest) detected on host: db-1* on {host}
```
This message was generated by the smartd daemon running on:

   host name:  db-1
```"""

SENDERS = {
    "cron": (_CRONTAB, ['*echo "from cron"* on {host} (root)\n```\nfrom cron\n```']),
    "at": (
        _AT,
        [
            "*Output from your job 1* on {host}\n```\nfrom at\n```",
            "*Output from your job 2* on {host}\n```\nfrom batch\n```",
        ],
    ),
    "smartmontools": (_SMARTD, [_SMART_ERROR]),
    "unattended-upgrades": (
        _UNATTENDED,
        ["*unattended-upgrades result for db-1* on {host}\nAll upgrades installed: café"],
    ),
    "s-nail": (_MAIL, ["*A subject* on {host}\nfrom mail"]),
}
"""For each package, a script that makes it send mail, and the texts of the messages."""


@pytest.mark.parametrize("package", SENDERS)
def test_real_senders(package: str, tmp_path: Path, shell: Shell, chat: Emulator) -> None:
    """Mail of real programs becomes messages. While Chat is away, it is in the outbox, and none is lost."""
    script, expected = SENDERS[package]
    need(package)
    need("s-nail")  # smartd's mail takes this way
    host = MailHost(tmp_path, f'[sendmail]\nroot = "ops"\n[profiles.ops]\nurl = "{chat.url()}"\n')
    lines = sorted(text.format(host=os.uname().nodename) for text in expected)
    shell.env["XDG_STATE_HOME"] = str(host.state)
    shell.write_profiles(f'[profiles.ops]\nurl = "{chat.url()}"\n')
    is_daemon = "exec " in script
    chat.faults += [answering(503)] * 100
    process = host.start(script)
    if not is_daemon:
        out = process.communicate(timeout=60)[0]
        assert process.returncode == 0, out.decode()
    outbox = partial(shell, "outbox", "list", "-o", "json")
    wait_for("the mails in the outbox", lambda: len(outbox().out.splitlines()) == len(expected))
    chat.faults.clear()
    wait_for_requests(chat)
    if is_daemon:
        host.stop(process)
    assert shell("outbox", "flush").status == 0
    assert sorted(re.sub(r"^\(written .*\)\n", "", text) for text in texts(chat)) == lines
