"""Parses mail (RFC 5322 and MIME). The input is untrusted. Malformed mail keeps its text, in bounded time."""

from __future__ import annotations

import codecs
import email
import re
from collections.abc import Iterable
from contextlib import suppress
from email.header import Header, decode_header
from email.message import Message
from email.utils import getaddresses
from typing import Any, NamedTuple

from chatpost.concurrency import run_with_timeout
from chatpost.mail.html import html_to_text
from chatpost.mail.source import RawMail

_RECIPIENTS = ("to", "cc", "resent-to", "resent-cc")
# A text whose first line is `Warning: disk full` has no headers.
_KNOWN_HEADER = (
    rb"(?i)(?:from|to|cc|bcc|subject|date|message-id|mime-version|content-[a-z-]+|reply-to|received|return-path|sender"
    rb"|auto-submitted|precedence|importance|priority|list-[a-z-]+|x-[\w-]+)[ \t]*:"
)
_HEADER_LINE = rb"[!-9;-~]+[ \t]*:|[ \t]+\S"  # or a continuation line
_MBOX_LINE = rb"From \S+ +\w{3} \w{3} .*\d{4}.*\n"
_BCC = rb"(?im)^(?:resent-)?bcc[ \t]*:((?:.*\n)(?:[ \t].*\n)*)"
_LONGEST_HEAD = 64 * 1024  # bytes of the headers
_MOST_PARTS = 200
_DEEPEST = 20  # multiparts in a multipart
_SECONDS = 3.0  # after which the text is posted as it is
# Not for texts: they yield half characters, or take quadratic time.
_ODD_CHARSETS = {"utf-7", "punycode", "idna", "unicode-escape", "raw-unicode-escape", "undefined"}


class Attachment(NamedTuple):
    """A part of a mail that is not shown: its file name, or its type, and its size in bytes."""

    name: str
    size: int


class Mail(NamedTuple):
    """A mail message. ``recipients`` are the values of its headers that have some.

    ``is_of_job``: it is the output of a cron or at job. ``is_html``: its text was converted from HTML. ``is_cut``: its
    end is missing.
    """

    text: str
    subject: str = ""
    recipients: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    is_of_job: bool = False
    is_html: bool = False
    is_cut: bool = False


def parse_mail(raw: RawMail) -> Mail:
    """Parse a mail message. Without headers, the whole input is the text.

    If parsing fails or takes too long, the text is what follows the headers.
    """
    content, is_cut = raw
    if (mbox := re.match(_MBOX_LINE, content)) and _has_headers(content[mbox.end() :]):
        content = content[mbox.end() :]
    content = content.lstrip(b"\r\n") if _has_headers(content.lstrip(b"\r\n")) else content
    if not _has_headers(content):
        return Mail(_decode(content, None), is_cut=is_cut)
    blank = re.search(rb"\r?\n\r?\n", content)
    head, body = (content[: blank.start() + 1], content[blank.start() :]) if blank else (content + b"\n", b"")
    hidden = tuple(_decode(match[1], None) for match in re.finditer(_BCC, head))
    head = re.sub(_BCC, b"", head)[:_LONGEST_HEAD]
    try:
        if body.count(b"\n--") > _MOST_PARTS or body.lower().count(b"multipart/") > _DEEPEST:
            raise ValueError  # noqa: TRY301 - as any other fault
        mail = run_with_timeout(_SECONDS, lambda: _read(email.message_from_bytes(head + body)))
    except Exception:  # noqa: BLE001 - the library fails in many ways, and the mail must not be lost
        subject = re.search(rb"(?im)^subject[ \t]*:(.*)", head)
        mail = Mail(_decode(body, None).strip("\r\n"), _decode(subject[1], None).strip() if subject else "")
    return mail._replace(recipients=(*mail.recipients, *hidden), is_cut=is_cut)


def addresses(values: Iterable[str]) -> list[str]:
    """Return the addresses in lists of recipients, such as ``Root <root@db-1>, ops``."""
    return [address for _, address in getaddresses(list(values)) if address]


def _has_headers(raw: bytes) -> bool:
    for line in raw[:_LONGEST_HEAD].split(b"\n", 200)[:200]:
        if re.match(_KNOWN_HEADER, line):
            return True
        if not re.match(_HEADER_LINE, line):
            return False
    return False


def _read(message: Message) -> Mail:
    texts: list[tuple[str, bool]] = []
    attachments: list[Attachment] = []
    _read_part(message, texts, attachments)
    if not texts and not _parts_of(message) and _is_text(message):  # a whole mail is no attachment
        texts, attachments = [_text_of(message)], []
    recipients = tuple(_header(value) for name in _RECIPIENTS for value in message.get_all(name, []))
    subject = " ".join(_header(message.get("subject", "")).split())
    is_of_job = subject.startswith(("Cron <", "Output from your job")) or message.get("x-cron-env") is not None
    is_html = bool(texts) and all(its for _, its in texts)
    text = "\n\n".join(text for text, _ in texts)
    if not (text or subject or attachments):  # lines such as `Date: today` of a program's output
        text = "\n".join(
            f"{name}: {_header(value)}" for name, value in message.items() if name.lower() not in _RECIPIENTS
        )
    return Mail(text, subject, recipients, tuple(attachments), is_of_job, is_html)


def _read_part(part: Message, texts: list[tuple[str, bool]], attachments: list[Attachment]) -> None:
    """Add the texts, each with whether it was HTML, and the attachments of a part and its subparts."""
    kind, parts = part.get_content_type(), _parts_of(part)
    if kind == "multipart/alternative":
        for its in sorted(parts, key=lambda its: its.get_content_type() != "text/plain"):
            before = len(texts)
            _read_part(its, texts, [])
            if len(texts) > before:
                return
    if parts and not kind.startswith("message/"):
        for its in parts:
            _read_part(its, texts, attachments)
        return
    is_attached = part.get_content_disposition() == "attachment" or part.get_filename() is not None
    if _is_text(part) and not is_attached:
        if (found := _text_of(part))[0]:
            texts.append(found)
    else:
        name = _header(part.get_filename() or "") or kind
        attachments.append(Attachment(" ".join(name.split()), len(_content(part))))


def _is_text(part: Message) -> bool:
    """Return whether a part is a text. A multipart without parts is one that has lost its boundary."""
    return part.get_content_maintype() in {"text", "multipart"} and not _parts_of(part)


def _text_of(part: Message) -> tuple[str, bool]:
    """Return a part's text, and whether it was HTML."""
    text, is_html = _decode(_content(part), part.get_content_charset()), part.get_content_type() == "text/html"
    return (html_to_text(text) if is_html else text).strip("\n"), is_html


def _parts_of(part: Message) -> list[Message]:
    payload = part.get_payload()
    return [its for its in payload if isinstance(its, Message)] if isinstance(payload, list) else []


def _content(part: Message) -> bytes:
    if parts := _parts_of(part):  # an attached message
        return b"".join(map(bytes, parts))
    decoded = part.get_payload(decode=True)
    return decoded if isinstance(decoded, bytes) else b""


def _header(value: str | Header) -> str:
    """Decode a header: RFC 2047, or raw bytes, which some programs write."""
    parts: list[tuple[Any, str | None]] = [(str(value), None)]
    with suppress(ValueError):  # HeaderParseError is one
        parts = decode_header(value)
    text = "".join(text if isinstance(text, str) else _decode(text, charset) for text, charset in parts)
    return text.encode(errors="replace").decode()


def _decode(raw: bytes, charset: str | None) -> str:
    """Decode a text. Programs often leave out the charset, or name the wrong one."""
    for name in (charset or "utf-8", "utf-8"):
        with suppress(LookupError, ValueError):
            encoding = codecs.lookup(name).name
            if encoding not in _ODD_CHARSETS and encoding != "ascii":
                return raw.decode(encoding).encode(errors="replace").decode().replace("\r\n", "\n")
    return raw.decode("latin-1").replace("\r\n", "\n")
