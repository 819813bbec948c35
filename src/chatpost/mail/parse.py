"""Parses mail (RFC 5322 and MIME). The input is untrusted. Malformed mail keeps its text."""

from __future__ import annotations

import email
import re
from collections.abc import Iterable
from email.header import Header, decode_header
from email.message import Message
from email.utils import getaddresses
from typing import Any, NamedTuple

from chatpost.mail.html import html_to_text

_RECIPIENTS = ("to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc")
# A text whose first line is `Warning: disk full` has no headers.
_KNOWN_HEADER = (
    rb"(?i)(?:from|to|cc|bcc|subject|date|message-id|mime-version|content-[a-z-]+|reply-to|received|return-path|sender"
    rb"|auto-submitted|precedence|importance|priority|list-[a-z-]+|x-[\w-]+):"
)
_HEADER_LINE = rb"[!-9;-~]+[ \t]*:|[ \t]+\S"  # or a continuation line


class Attachment(NamedTuple):
    """A part of a mail that is not shown: its file name, or its type, and its size in bytes."""

    name: str
    size: int


class Mail(NamedTuple):
    """A mail message. ``recipients`` are those in its headers.

    ``is_of_job``: it is the output of a cron or at job. ``is_html``: its text was converted from HTML.
    """

    text: str
    subject: str = ""
    recipients: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    is_of_job: bool = False
    is_html: bool = False


def parse_mail(raw: bytes) -> Mail:
    """Parse a mail message. Without headers, or if parsing fails, the whole input is the text."""
    raw = re.sub(rb"\A(?:From [^\n]*\n|\s*\n)", b"", raw)  # mbox has a line before the headers
    if not _has_headers(raw):
        return Mail(_decode(raw, None))
    try:
        return _read(email.message_from_bytes(raw))
    except Exception:  # noqa: BLE001 - the library fails in many ways, and the mail must not be lost
        return Mail(_decode(raw, None))


def addresses(values: Iterable[str]) -> list[str]:
    """Return the addresses in lists of recipients, such as ``Root <root@db-1>, ops``."""
    return [address for _, address in getaddresses(list(values)) if address]


def _has_headers(raw: bytes) -> bool:
    for line in raw.split(b"\n", 200)[:200]:
        if re.match(_KNOWN_HEADER, line):
            return True
        if not re.match(_HEADER_LINE, line):
            return False
    return False


def _read(message: Message) -> Mail:
    texts: list[str] = []
    attachments: list[Attachment] = []
    _read_part(message, texts, attachments)
    recipients = addresses(_header(value) for name in _RECIPIENTS for value in message.get_all(name, []))
    subject = " ".join(_header(message.get("subject", "")).split())
    is_of_job = subject.startswith(("Cron <", "Output from your job")) or message.get("x-cron-env") is not None
    is_html = "text/plain" not in (part.get_content_type() for part in message.walk())
    text = "\n\n".join(filter(None, texts))
    return Mail(text, subject, tuple(recipients), tuple(attachments), is_of_job, is_html)


def _read_part(part: Message, texts: list[str], attachments: list[Attachment]) -> None:
    """Add the texts and the attachments of a part and its subparts."""
    kind, parts = part.get_content_type(), _parts_of(part)
    is_named = part.get_content_disposition() == "attachment" or part.get_filename() is not None
    if kind == "multipart/alternative" and parts:
        plain = (its for its in parts if its.get_content_type() == "text/plain")
        _read_part(next(plain, parts[0]), texts, attachments)
    elif parts and not kind.startswith("message/"):
        for its in parts:
            _read_part(its, texts, attachments)
    elif kind in {"text/plain", "text/html"} and not is_named:
        text = _decode(_content(part), part.get_content_charset())
        texts.append((html_to_text(text) if kind == "text/html" else text).strip("\n"))
    else:
        name = _header(part.get_filename() or "") or kind
        attachments.append(Attachment(" ".join(name.split()), len(_content(part))))


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
    parts: list[tuple[Any, str | None]] = decode_header(value)
    return "".join(text if isinstance(text, str) else _decode(text, charset) for text, charset in parts)


def _decode(raw: bytes, charset: str | None) -> str:
    """Decode a text. Programs often leave out the charset, or name the wrong one."""
    for encoding in ("utf-8" if charset in {None, "us-ascii", "unknown-8bit"} else str(charset), "utf-8"):
        try:
            return raw.decode(encoding).replace("\r\n", "\n")
        except (LookupError, ValueError):
            continue
    return raw.decode("latin-1").replace("\r\n", "\n")
