"""Checks requests with Google's own types, and refuses them in the service's words."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from google.apps.chat_v1.types import CreateMessageRequest, Message
from google.protobuf import json_format

from chatpost.chat.message import SIZE_LIMIT, THREAD_KEY_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

# Parameters that every Google API takes, and the webhook's `key` and `token`.
_SYSTEM_PARAMETERS = {
    "key",
    "token",
    "alt",
    "callback",
    "fields",
    "prettyPrint",
    "quotaUser",
    "uploadType",
    "upload_protocol",
    "access_token",
    "oauth_token",
    "$.xgafv",
}
_UNKNOWN_FIELD = re.compile(r'no field named "([^"]*)" at "([^"]*)"')
_FIELD_ON_THE_WAY = re.compile(r"Failed to parse (\w+) field: ")
_MESSAGE_ID = re.compile(r"client-[a-z0-9-]{1,56}")
_NOTIFICATION_TYPE = "createMessageNotificationOptions.notificationType"
_THREAD_NAME = re.compile(r"(spaces/[^/]+)/threads/[^/]+")


@dataclass(eq=False)
class ApiError(Exception):
    """A refusal: a ``google.rpc.Status``, wrapped as the service does."""

    code: int
    status: str
    message: str
    details: list[dict[str, Any]] = field(default_factory=list)

    def body(self) -> dict[str, Any]:
        """Return the answer's JSON."""
        error: dict[str, Any] = {"code": self.code, "message": self.message, "status": self.status}
        if self.details:
            error["details"] = self.details
        return {"error": error}


def invalid_argument(message: str, where: str | None = None) -> ApiError:
    """Return a 400, which names the field that is wrong, if there is one."""
    violation: dict[str, Any] = {"description": message}
    if where:
        violation["field"] = where
    details = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}]
    return ApiError(HTTPStatus.BAD_REQUEST, "INVALID_ARGUMENT", message, details if where else [])


def check_webhook(query: dict[str, str]) -> None:
    """Raise `ApiError` if key or token is missing; any value is accepted."""
    if not query.get("key"):
        message = "The request is missing a valid API key."
        raise ApiError(HTTPStatus.FORBIDDEN, "PERMISSION_DENIED", message)
    if not query.get("token"):
        message = "Request is missing required authentication credential."
        raise ApiError(HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED", message)


def read_query(query: dict[str, str]) -> dict[str, str]:
    """Return the request's own parameters; raises `ApiError` for an unknown one or an invalid value."""
    parameters = {_camel(name): value for name, value in query.items() if name not in _SYSTEM_PARAMETERS}
    for name, value in parameters.items():
        request = {name: value}
        if name == _NOTIFICATION_TYPE:
            request = {"createMessageNotificationOptions": {"notificationType": value}}  # type: ignore[dict-item]
        try:
            json_format.ParseDict(request, CreateMessageRequest.pb()())
        except json_format.ParseError as error:
            if _UNKNOWN_FIELD.search(str(error)):
                message = (
                    f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter. '
                    f"Field '{name}' could not be found in request message."
                )
                raise invalid_argument(message, name) from None
            message = f"Invalid value at '{_snake(name)}', \"{value}\""
            raise invalid_argument(message, _snake(name)) from None
    message_id = parameters.get("messageId")
    if message_id is not None and not _MESSAGE_ID.fullmatch(message_id):
        message = (
            "Custom message ID must begin with `client-` and contain up to 63 characters, "
            "only lowercase letters, numbers, and hyphens."
        )
        raise invalid_argument(message, "message_id")
    return parameters


def read_body(raw: bytes, space: str) -> dict[str, Any]:
    """Return the message; raises `ApiError` if it is no valid `Message`, empty, or too long."""
    try:
        body = _camel_keys(json.loads(raw))
        if not isinstance(body, dict):
            message = "Invalid JSON payload received. Root element must be a message."
            raise invalid_argument(message)
        json_format.ParseDict(body, Message.pb()(), max_recursion_depth=50)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        message = "Invalid JSON payload received. Unexpected token."
        raise invalid_argument(message) from None
    except (json_format.ParseError, TypeError, AttributeError, ValueError) as error:
        raise _not_a_message(str(error)) from None
    for number, entry in enumerate(body.get("cardsV2") or []):
        if not (entry or {}).get("card"):
            message = "Card cannot be empty."
            raise invalid_argument(message, f"message.cards_v2[{number}].card")
    if not str(body.get("text") or "").strip() and not body.get("cardsV2") and not body.get("cards"):
        message = "Message cannot be empty. Discarding message."
        raise invalid_argument(message)
    cards = json.dumps(body["cardsV2"], ensure_ascii=False, separators=(",", ":")) if body.get("cardsV2") else ""
    texts = f"{body.get('text') or ''}{body.get('fallbackText') or ''}{cards}"
    if len(texts.encode(errors="replace")) > SIZE_LIMIT:
        message = f"Message is too long: it may have {SIZE_LIMIT} bytes."
        raise invalid_argument(message)
    _check_thread(body.get("thread") or {}, space)
    return dict(body)


def complaint(body: Mapping[str, Any], space: str) -> str | None:
    """Return why Chat would reject a message, with the name of the wrong field; None if it is valid."""
    try:
        read_body(json.dumps(body).encode(), space)
    except ApiError as error:
        where = error.details[0]["fieldViolations"][0]["field"] if error.details else ""
        said = error.message.rstrip(".")
        return said if where in said else f"{where}: {said}"
    return None


def _check_thread(thread: dict[str, Any], space: str) -> None:
    if len(thread.get("threadKey") or "") > THREAD_KEY_LIMIT:
        message = f"Thread key may have {THREAD_KEY_LIMIT} characters."
        raise invalid_argument(message, "message.thread.thread_key")
    name = thread.get("name")
    if name:
        match = _THREAD_NAME.fullmatch(name)
        if match is None or match[1] != space:
            message = f'Invalid thread resource name "{name}".'
            raise invalid_argument(message, "message.thread.name")


def _not_a_message(complaint: str) -> ApiError:
    unknown = _UNKNOWN_FIELD.search(complaint)
    if unknown is not None:
        where = _snake(unknown[2].replace("Message", "message", 1))
        message = f"Invalid JSON payload received. Unknown name \"{unknown[1]}\" at '{where}': Cannot find field."
        return invalid_argument(message, where)
    fields = _FIELD_ON_THE_WAY.findall(complaint)
    where = ".".join(["message", *map(_snake, fields)])
    reason = _FIELD_ON_THE_WAY.sub("", complaint).partition("\n")[0].rstrip(".")
    return invalid_argument(f"Invalid value at '{where}': {reason}", where)


def _camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda letter: letter[1].upper(), name)


def _camel_keys(value: Any) -> Any:
    """Return a JSON value with the names of its fields in camel case: Google takes them in snake case, too."""
    if isinstance(value, dict):
        return {_camel(name): _camel_keys(item) for name, item in value.items()}
    return [_camel_keys(item) for item in value] if isinstance(value, list) else value


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda capital: f"_{capital[0].lower()}", name)
