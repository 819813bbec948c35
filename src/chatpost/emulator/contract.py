"""Validates requests with Google's own types, and rejects them with Chat's error messages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format

from chatpost.chat.message import SIZE_LIMIT, THREAD_KEY_LIMIT, Message as ChatMessage
from chatpost.emulator.types import CreateMessageRequest, Message

# The parameters of all Google APIs, and the webhook's `key` and `token`.
_SYSTEM_PARAMETER = re.compile(
    r"key|token|alt|callback|fields|prettyPrint|quotaUser|uploadType|upload_protocol|access_token|oauth_token|\$\.xgafv"
)
_UNKNOWN_FIELD = re.compile(r'no field named "([^"]*)" at "([^"]*)"')
_FIELD_ON_THE_WAY = re.compile(r"Failed to parse (\w+) field: ")
# Names of google.rpc.Code, by HTTP status.
_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@dataclass(eq=False)
class ApiError(Exception):
    """An error with this HTTP status; ``where`` is the invalid field, if any."""

    status: int
    message: str
    where: str | None = None

    def body(self) -> dict[str, Any]:
        """Return the JSON of the answer: a ``google.rpc.Status``, wrapped in ``error``."""
        status = _CODES.get(self.status, "UNKNOWN")
        error: dict[str, Any] = {"code": self.status, "message": self.message, "status": status}
        if self.where:
            violations = [{"description": self.message, "field": self.where}]
            kind = "type.googleapis.com/google.rpc.BadRequest"
            error["details"] = [{"@type": kind, "fieldViolations": violations}]
        return {"error": error}


def read_query(query: dict[str, str]) -> dict[str, str]:
    """Return the parameters of the method; raises `ApiError` for an invalid one, or without a key or token."""
    if not query.get("key"):
        raise ApiError(403, "The request is missing a valid API key.")
    if not query.get("token"):
        raise ApiError(401, "Request is missing required authentication credential.")
    parameters = {_camel(name): value for name, value in query.items() if not _SYSTEM_PARAMETER.fullmatch(name)}
    for name, value in parameters.items():
        request: dict[str, Any] = {name: value}
        if name == "createMessageNotificationOptions.notificationType":
            request = {"createMessageNotificationOptions": {"notificationType": value}}
        try:
            json_format.ParseDict(request, CreateMessageRequest.pb()())
        except json_format.ParseError as error:
            if _UNKNOWN_FIELD.search(str(error)):
                message = (
                    f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter. '
                    f"Field '{name}' could not be found in request message."
                )
                raise ApiError(400, message, name) from None
            where = _snake(name)
            raise ApiError(400, f"Invalid value at '{where}', \"{value}\"", where) from None
    if not re.fullmatch(r"client-[a-z0-9-]{1,56}", parameters.get("messageId", "client-none")):
        message = (
            "Custom message ID must begin with `client-` and contain up to 63 characters, "
            "only lowercase letters, numbers, and hyphens."
        )
        raise ApiError(400, message, "message_id")
    return parameters


def read_body(raw: bytes, space: str) -> dict[str, Any]:
    """Parse a message; raises `ApiError` if it is invalid, empty, or too long."""
    try:
        body = _camel_keys(json.loads(raw))
        if not isinstance(body, dict):
            raise ApiError(400, "Invalid JSON payload received. Root element must be a message.")
        json_format.ParseDict(body, Message.pb()(), max_recursion_depth=50)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise ApiError(400, "Invalid JSON payload received. Unexpected token.") from None
    except (json_format.ParseError, TypeError, AttributeError, ValueError) as error:
        raise _not_a_message(str(error)) from None
    text, cards = body.get("text") or "", body.get("cardsV2") or []
    for number, entry in enumerate(cards):
        if not (entry or {}).get("card"):
            raise ApiError(400, "Card cannot be empty.", f"message.cards_v2[{number}].card")
    if not text.strip() and not cards and not body.get("cards"):
        raise ApiError(400, "Message cannot be empty. Discarding message.")
    if ChatMessage(text, cards=tuple(cards), fallback_text=body.get("fallbackText")).size > SIZE_LIMIT:
        raise ApiError(400, f"Message is too long: it may have {SIZE_LIMIT} bytes.")
    thread = body.get("thread") or {}
    if len(thread.get("threadKey") or "") > THREAD_KEY_LIMIT:
        raise ApiError(400, f"Thread key may have {THREAD_KEY_LIMIT} characters.", "message.thread.thread_key")
    name = thread.get("name")
    if name and not re.fullmatch(rf"{re.escape(space)}/threads/[^/]+", name):
        raise ApiError(400, f'Invalid thread resource name "{name}".', "message.thread.name")
    return body


def complaint(body: Mapping[str, Any], space: str) -> str | None:
    """Return the reason why Chat would reject a message, with the invalid field; None if it is valid."""
    try:
        read_body(json.dumps(body).encode(), space)
    except ApiError as error:
        where, said = error.where or "", error.message.rstrip(".")
        return said if where in said else f"{where}: {said}"
    return None


def _not_a_message(complaint: str) -> ApiError:
    if unknown := _UNKNOWN_FIELD.search(complaint):
        where = _snake(unknown[2].replace("Message", "message", 1))
        message = f"Invalid JSON payload received. Unknown name \"{unknown[1]}\" at '{where}': Cannot find field."
    else:
        where = ".".join(["message", *map(_snake, _FIELD_ON_THE_WAY.findall(complaint))])
        reason = _FIELD_ON_THE_WAY.sub("", complaint).partition("\n")[0].rstrip(".")
        message = f"Invalid value at '{where}': {reason}"
    return ApiError(400, message, where)


def _camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda letter: letter[1].upper(), name)


def _camel_keys(value: Any) -> Any:
    """Return a JSON value with its field names in camel case: Google also accepts snake case."""
    if isinstance(value, dict):
        return {_camel(name): _camel_keys(item) for name, item in value.items()}
    return [_camel_keys(item) for item in value] if isinstance(value, list) else value


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda capital: f"_{capital[0].lower()}", name)
