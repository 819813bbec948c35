"""Masks secrets in texts: values of variables, passwords in URLs, keys and tokens of well-known forms."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import chain
from urllib.parse import quote, unquote

from chatpost.chat.masking import MASK
from chatpost.content.terminal import screen_text

_SHORTEST = 6  # characters of a secret, or 8 if all are letters; shorter values appear in many texts by chance
_SHORTEST_WORD = 8
_MOST_KEY_LINES = 200  # after which an unterminated private key is treated as text
# The patterns are rarely needed, so they are compiled on use.
_NAME = (
    r"(?<!COM)(?<!BY)PASS(?!ENGER|IVE|THROUGH|ED)|(?<!^)(?<!^OLD)PWD|SECRET|TOKEN|CREDENTIAL|AUTH(?!OR(?!I[SZ]))"
    r"|(?<!THREAD)_KEY(?!BOARD|WORD)|APIKEY"
)
"""Names of variables with secrets, in upper case; not COMPASS, AUTHOR and the like."""
_PLAIN_NAME = "_(?:TYPE|METHOD|MODE|NAME|HELPER|FILE|PATH|DIR|USER|USERNAME|PROVIDER|REALM|ENABLED|TTL|LENGTH)$"
_HARMLESS = r"(?i)[\d.,:+-]+|true|false|yes|no|on|off|none|null|enabled|disabled|required|optional"
_PATH = r"(?:~|\.{0,2})/[^\n]*"
_RANDOM = r"(?=[^/]*[a-z])(?=[^/]*[A-Z])(?=[^/]*\d)[\w+=]{16,}"  # in a path, part of a secret in Base64
# Bounded lengths keep matching linear. A port is not a password.
_IN_URL = r"(://[^\s/:@\[]{0,128}:)(?!\d{1,5}(?:[/?#,\s]|$)|/)((?:[^\s/\"<>]{1,256}|[^\s\"<>@]{1,256})(?=@(?!sha\d)))"
_UP_TO_LAST = r"(://[^\s/:@\[]{0,128}:)(?!\d{1,5}(?:[/?#,\s]|$)|/)([^\s\"<>]{1,256})(?=@)"
_KEY_BEGIN = "-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_KEY_END = "-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
# Most lines of a stream have none of these, and need no search.
_MARKS = (
    *("://", "PRIVATE KEY", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "xox", "xapp-", "hooks.slack.com/"),
    *("glpat-", "glptt-", "gldt-", "glrt-", "glrtr-", "glcbt-", "glsoat-", "glft-", "glagent-", "glimt-", "gloas-"),
    *("AKIA", "ASIA", "AIza", "ya29.", "GOCSPX-", "eyJ", "_live_", "sk-ant-", "sk-proj-", "npm_", "pypi-"),
    *("secret_access_key", "SECRET_ACCESS_KEY", "ecretAccessKey"),
)
_TOKEN = (
    rf"(?a)(?s:{_KEY_BEGIN}(?:\s*\n|\\n).*?(?:{_KEY_END}|\Z))"
    r"|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}"  # GitHub
    r"|\bgl(?:pat|ptt|dt|rt|rtr|cbt|soat|ft|agent|imt|oas)-[\w.-]{20,}"  # GitLab
    r"|\bx(?:ox[a-z]|app)-[\w-]{10,}|(?<=hooks\.slack\.com/)(?:services|workflows|triggers)/[\w/-]{20,}"  # Slack
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|(?i:(?<=secret_access_key)|(?<=secretaccesskey))\W{1,5}[\w/+]{40}"  # AWS
    r"|\bAIza[\w-]{35}|\bya29\.[\w-]{20,}|\bGOCSPX-[\w-]{20,}"  # Google
    r"|(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*){1,3}"  # a JSON Web Token
    r"|\b[sr]k_live_\w{20,}|\bsk-(?:ant|proj)-[\w-]{20,}|\bnpm_\w{30,}|\bpypi-[\w-]{50,}"
)


class SecretMask:
    """Masks the secrets of an environment, and what looks like a secret, in a text or in the lines of a stream."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._key_lines = 0  # of a private key that has not ended

    @cached_property
    def _values(self) -> list[str]:
        values = {form for value in _values(self._environment) if _is_secret(value) for form in _forms(value)}
        return sorted(values, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return the text with its secrets masked."""
        for value in self._values:
            text = text.replace(value, MASK)
        if not any([mark in text for mark in _MARKS]):  # noqa: C419 - a generator takes twice the time
            return text
        return re.sub(_TOKEN, MASK, re.sub(_IN_URL, rf"\1{MASK}", text))

    def line(self, line: str) -> str:
        """Return the next line of a stream with its secrets masked: a private key has several lines."""
        if self._key_lines:
            end = re.search(_KEY_END, line)
            self._key_lines = 0 if end else (self._key_lines + 1) % _MOST_KEY_LINES
            line = line[end.end() :] if end else ""
            return MASK + self(line)
        if "-----BEGIN" not in line:
            return self(line)
        begin = re.search(rf"{_KEY_BEGIN}\s*$", line)
        self._key_lines = int(begin is not None)
        return self(line) if begin is None else self(line[: begin.start()]) + MASK


def _values(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of variables that are named like secrets, and the passwords in URLs, as they are and decoded."""
    for name, value in environment.items():
        if re.search(_NAME, name.upper()) and not re.search(_PLAIN_NAME, name.upper()):
            yield from (line.strip() for line in value.splitlines())
        # An unescaped password can have an @ or a slash, and so can the rest of a URL.
        passwords = (re.findall(_IN_URL, value), re.findall(_UP_TO_LAST, value)) if "://" in value else ()
        for _, password in chain.from_iterable(passwords):
            yield from (password, unquote(password))


def _forms(value: str) -> Iterator[str]:
    """Yield a secret as it is, as a terminal shows it, and as JSON escapes it."""
    shown = screen_text(value.encode(errors="surrogateescape").decode(errors="replace"))
    for form in {value, shown}:
        yield form
        yield json.dumps(form)[1:-1]
        yield json.dumps(form, ensure_ascii=False)[1:-1]
        yield quote(form, safe="", errors="surrogateescape")


def _is_secret(value: str) -> bool:
    """Return whether a value may be a secret: not a short word, a number, a boolean or a path."""
    if len(value) < (_SHORTEST_WORD if value.isalpha() else _SHORTEST) or re.fullmatch(_HARMLESS, value):
        return False
    return not re.fullmatch(_PATH, value) or bool(re.search(_RANDOM, value))
