"""Requests to create a message, and Chat's answers.

Source: the Chat API discovery document, `spaces.messages.create` and the schemas `Message` and `Thread`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, NamedTuple

from chatpost.chat.webhook import mask_webhooks
from chatpost.errors import DataError

SIZE_LIMIT = 32_000
"""Maximum size of a message in bytes of UTF-8: text, cards and fallback text together."""

THREAD_KEY_LIMIT = 4000
"""Maximum length of a thread key, in characters."""

_THREAD_NAME = re.compile(r"spaces/([\w-]+)/threads/([\w-]+)", re.ASCII)
# Rarely needed, so compiled on use.
_THREAD_LINK = r"(?a)https://chat\.google\.com/(?:u/\d+/)?(?:room|dm)/([\w-]+)/([\w-]+)(?:/[\w-]+)?/?(?:[?#].*)?"
_MESSAGE_NAME = re.compile(r"spaces/([\w-]+)/messages/([\w-]+)(?:\.[\w-]+)?", re.ASCII)


class MessageReplyOption(Enum):
    """What Chat does if the thread does not exist."""

    FALLBACK_TO_NEW_THREAD = "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"
    OR_FAIL = "REPLY_MESSAGE_OR_FAIL"


class Thread(NamedTuple):
    """A thread, by its thread key or by its thread name (``spaces/S/threads/T``)."""

    key: str | None = None
    name: str | None = None

    @property
    def space(self) -> str | None:
        """The space (``spaces/S``) in the thread name; None for a thread key."""
        return None if self.name is None else self.name.partition("/threads/")[0]

    @classmethod
    def named(cls, name: str) -> Thread:
        """Parse a thread name, a thread's link, or a message name, which names its thread.

        A message ``messages/T.M`` is in the thread ``threads/T``. This and the format of links are observed, not
        documented. Raises `ValueError` with an error message for users.
        """
        if _THREAD_NAME.fullmatch(name):
            return cls(name=name)
        if link := re.fullmatch(_THREAD_LINK, name):
            return cls(name=f"spaces/{link[1]}/threads/{link[2]}")
        match = _MESSAGE_NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"{name!r} is not a thread name (spaces/SPACE/threads/THREAD)")
        if "." not in name:
            raise ValueError("this message name does not contain its thread: use a thread name, which -o thread prints")
        return cls(name=f"spaces/{match[1]}/threads/{match[2]}")


class Message(NamedTuple):
    """A message. ``cards`` is the value of ``cardsV2``; ``is_markdown``: the text is CommonMark.

    ``accessory_widgets`` is the value of ``accessoryWidgets``.
    """

    text: str
    is_markdown: bool = False
    cards: tuple[Mapping[str, Any], ...] = ()
    fallback_text: str | None = None
    accessory_widgets: tuple[Mapping[str, Any], ...] = ()

    def masked(self, mask: Callable[[Any], Any]) -> Message:
        """Return the message with ``mask`` applied to its parts, which are JSON values."""
        text, fallback_text = mask(self.text), mask(self.fallback_text)
        if not self.cards and not self.accessory_widgets:
            return self._replace(text=text, fallback_text=fallback_text)
        cards, widgets = tuple(mask(self.cards)), tuple(mask(self.accessory_widgets))
        return Message(text, self.is_markdown, cards, fallback_text, widgets)

    @property
    def size(self) -> int:
        """Size in bytes, as limited by `SIZE_LIMIT`."""
        widgets = (*self.cards, *self.accessory_widgets)
        cards = json.dumps(widgets, ensure_ascii=False, separators=(",", ":")) if widgets else ""
        return len(f"{self.text}{cards}{self.fallback_text or ''}".encode())

    def check_size(self) -> None:
        """Raise `DataError` if the message is too large for Chat."""
        if self.size > SIZE_LIMIT:
            what = "the text and the cards have" if self.cards else "the text has"
            raise DataError(
                f"{what} {self.size:,} bytes, over the limit of {SIZE_LIMIT:,}, so nothing was posted: shorten it"
            )

    def body(self) -> dict[str, Any]:
        """Return the message as Chat's JSON, with the secrets of all webhook URLs masked."""
        body = {
            "text": self.text,
            "markupSyntax": self.is_markdown and "MARKUP_SYNTAX_MARKDOWN",
            "cardsV2": self.cards,
            "fallbackText": self.fallback_text,
            "accessoryWidgets": self.accessory_widgets,
        }
        masked: dict[str, Any] = mask_webhooks({name: value for name, value in body.items() if value})
        return masked


class CreateMessageRequest(NamedTuple):
    """A request to create a message. All attempts share ``request_id``, so that Chat creates one message."""

    message: Message
    request_id: str
    thread: Thread | None = None
    reply_option: MessageReplyOption | None = None
    silent: bool = False

    def of_part(self, number: int, message: Message, first: CreatedMessage | None) -> CreateMessageRequest:
        """Return the request for one part of a long text: a reply to the first part, with the number in its ID."""
        part = self._replace(message=message, request_id=f"{self.request_id}-{number}")
        fallback = MessageReplyOption.FALLBACK_TO_NEW_THREAD
        return part._replace(thread=Thread(name=first.thread_name), reply_option=fallback) if first else part

    def body(self) -> dict[str, Any]:
        """Return the JSON body."""
        body = self.message.body()
        if self.thread is not None:
            body["thread"] = {"name": self.thread.name} if self.thread.name else {"threadKey": self.thread.key}
        return body

    def parameters(self) -> dict[str, str]:
        """Return the query parameters, without key and token."""
        parameters = {"requestId": self.request_id}
        if self.reply_option is not None:
            parameters["messageReplyOption"] = self.reply_option.value
        if self.silent:
            parameters["createMessageNotificationOptions.notificationType"] = "NOTIFICATION_TYPE_SILENT"
        return parameters


class CreatedMessage(NamedTuple):
    """Chat's answer: the message name and the thread name."""

    name: str
    thread_name: str

    @classmethod
    def read(cls, answer: Any) -> CreatedMessage:
        """Parse an answer's JSON. Raises `LookupError`, `TypeError` or `ValueError` if a name is missing or invalid."""
        created = cls(answer["name"], answer["thread"]["name"])
        if not (_MESSAGE_NAME.fullmatch(created.name) and _THREAD_NAME.fullmatch(created.thread_name)):
            raise ValueError
        return created
