"""The emulator's page, which shows the spaces as Chat would, and new messages as they come."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from flask import Flask, Response, render_template, send_from_directory

from chatpost.emulator.render import card_html, icon_kind, icon_text, safe_link, text_html

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from chatpost.emulator.space import Space, StoredMessage

_FILES = Path(__file__).parent / "page"
# A second line of defence behind escaping: only the page's own script runs, and nothing is loaded from elsewhere.
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'"


def add_pages(
    app: Flask, spaces: Callable[[], Mapping[str, Space]], changes: Callable[[], Iterator[int | None]]
) -> None:
    """Add the page at ``/``. `spaces` returns the spaces to show; `changes` yields a number whenever they change."""
    shown = {"card_html": card_html, "text_html": text_html, "safe_link": safe_link}
    app.jinja_env.globals.update(shown, icon_kind=icon_kind, icon_text=icon_text)

    def page() -> str:
        return render_template("page.html", spaces=_shown(spaces()))

    def fragment() -> str:
        return render_template("spaces.html", spaces=_shown(spaces()))

    def events() -> Response:
        # If nothing changes, a comment now and then finds out whether anybody still listens.
        told = (":\n\n" if number is None else f"data: {number}\n\n" for number in changes())
        return Response(told, mimetype="text/event-stream")

    def file(name: str) -> Response:
        return send_from_directory(_FILES, name)

    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Cache-Control"] = "no-store"
        return response

    app.get("/")(page)
    app.get("/spaces")(fragment)
    app.get("/events")(events)
    app.get("/<any('page.css', 'page.js'):name>")(file)
    app.after_request(protect)


def _shown(spaces: Mapping[str, Space]) -> list[dict[str, Any]]:
    newest = max((space.messages[-1] for space in spaces.values() if space.messages), key=lambda m: m.at, default=None)
    return [
        {
            "name": space.name,
            "count": len(space.messages),
            "threads": [
                {
                    "name": name,
                    "messages": [_message(space, message) | {"is_newest": message is newest} for message in messages],
                }
                for name, messages in space.threads().items()
            ],
        }
        for space in spaces.values()
        if space.messages
    ]


def _message(space: Space, message: StoredMessage) -> dict[str, Any]:
    tokens = list(dict.fromkeys(other.token for other in space.messages))
    is_markdown = message.body.get("markupSyntax") == "MARKUP_SYNTAX_MARKDOWN"
    return {
        "name": message.name,
        "webhook": f"webhook {tokens.index(message.token) + 1}",
        "time": datetime.fromtimestamp(message.at).astimezone().strftime("%H:%M:%S"),
        "text": text_html(message.text, is_markdown=is_markdown) if message.text else None,
        "is_markdown": is_markdown,
        "cards": [entry.get("card") or {} for entry in message.body.get("cardsV2") or []],
        "request": _request(space, message),
    }


def _request(space: Space, message: StoredMessage) -> str:
    query = {**message.query, "key": "***", "token": "***"}
    body = json.dumps(message.body, indent=2, ensure_ascii=False)
    return f"POST /v1/{space.name}/messages?{urlencode(query, safe='*')}\n\n{body}"
