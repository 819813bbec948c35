"""Formats a mail as the text of a message."""

from __future__ import annotations

import re
from collections.abc import Callable

from chatpost.content.markup import fenced, literal
from chatpost.content.source import Text
from chatpost.content.terminal import screen_text
from chatpost.formatting import one_line
from chatpost.mail.parse import Attachment, Mail
from chatpost.mail.source import SIZE_LIMIT

_LONGEST_SUBJECT = 500  # characters
_MOST_TEXT = 400_000  # characters: ten messages have fewer
_END = 100_000  # characters to keep of a longer text
_MOST_ATTACHMENTS = 20
_CRON = r"Cron <(?P<user>[^@<>]*)@(?P<host>[^<>]*)> (?P<command>.+)"
# Signs of program output: columns, indentation, a line that starts with a time or a [tag], or a shell trace.
_OUTPUT = r"(?m)\S(?: {2,}|\t)\S|^(?:[ \t]+\S|\[|\+ |\d{4}-\d\d-\d\d|\d\d:\d\d|[A-Z][a-z]{2} [ \d]\d \d\d:)"


def text_of_mail(mail: Mail, host: str, mask: Callable[[str], str]) -> Text:
    """Return the text: the subject in bold with the host, then the mail's text, as code if it is a program's output.

    ``mask`` removes secrets. Any other text is shown as it is: nothing in it is markup, or mentions anyone. Of a text
    that needs too many messages, only the end is left.
    """
    given, omitted = mail.text, ""
    if len(given) > _MOST_TEXT:
        start = given.find("\n", len(given) - _END) + 1 or len(given) - _END
        given, omitted = given[start:], given[:start]
    head = _head(mask(screen_text(mail.subject)), host)
    body = mask(screen_text(given)).strip("\n").rstrip()
    is_code = mail.is_of_job or (not mail.is_html and re.search(_OUTPUT, body[:_END]))
    parts = [head, (fenced(body) if is_code else literal(body)) if body.strip() else ""]
    parts += (_line(each, mask) for each in mail.attachments[:_MOST_ATTACHMENTS])
    if len(mail.attachments) > _MOST_ATTACHMENTS:
        parts.append(f"and {len(mail.attachments) - _MOST_ATTACHMENTS} more attachments")
    if mail.is_cut:
        parts.append(f"[the input is longer than {SIZE_LIMIT // (1024 * 1024)} MB; its end is not shown]")
    words = "\n".join(filter(None, parts)) if any(parts[1:]) else f"{head} (empty)"
    prefix = f"{head}\n" if words.startswith(f"{head}\n") else head
    return Text.whole(words)._replace(before=len(omitted.encode(errors="replace")), prefix=prefix)


def _head(subject: str, host: str) -> str:
    """Return the subject in bold, with the host unless the subject names it, or a cron job's command and host."""
    subject = one_line(subject, _LONGEST_SUBJECT)
    if cron := re.fullmatch(_CRON, subject):
        return f"*{literal(cron['command'])}* on {literal(cron['host'])} ({literal(cron['user'])})"
    if not subject:
        return f"*(no subject)* on {literal(host)}"
    named = re.search(rf"(?<!\w){re.escape(host.partition('.')[0])}(?!\w)", subject, re.IGNORECASE)
    return f"*{literal(subject)}*{'' if named else f' on {literal(host)}'}"


def _line(attachment: Attachment, mask: Callable[[str], str]) -> str:
    return f"Attachment: {literal(one_line(mask(attachment.name), 100))} ({_format_size(attachment.size)})"


def _format_size(size: int) -> str:
    for unit, factor in (("MB", 1_000_000), ("KB", 1000)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
