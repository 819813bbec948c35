from __future__ import annotations

import pytest

from chatpost.chat.message import CreateMessageRequest, Message, Thread
from chatpost.errors import DataError


@pytest.mark.parametrize(
    ("name", "thread"),
    [
        ("spaces/AAAA/threads/T-1_x", "spaces/AAAA/threads/T-1_x"),
        ("spaces/AAAA/messages/T.M", "spaces/AAAA/threads/T"),
        ("spaces/AAAA/messages/T.T", "spaces/AAAA/threads/T"),
        ("https://chat.google.com/room/AAAA/T-1_x", "spaces/AAAA/threads/T-1_x"),
        ("https://chat.google.com/room/AAAA/T/M?cls=10", "spaces/AAAA/threads/T"),
        ("https://chat.google.com/u/0/room/AAAA/T#x", "spaces/AAAA/threads/T"),
    ],
)
def test_names_of_a_thread(name: str, thread: str) -> None:
    """A thread name, or the name of a message in the thread, identifies a thread."""
    assert Thread.named(name) == Thread(name=thread)
    assert Thread.named(name).space == "spaces/AAAA"
    assert Thread(key="k").space is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "T",
        "spaces/AAAA",
        "spaces/AAAA/threads/",
        "spaces/AAAA/threads/T/",
        "spaces/AAAA/threads/T\n",
        "spaces/AAAA/messages/client-x",
        "spaces/AAAA/messages/T.",
        "spaces/AAAA/messages/T.M.N",
        "spaces/É/threads/T",
        "https://chat.google.com/room/AAAA",
        "https://chat.example/room/AAAA/T",
    ],
)
def test_what_names_no_thread(name: str) -> None:
    """Any other string is rejected. A message name without a dot does not contain its thread."""
    with pytest.raises(ValueError, match="thread"):
        Thread.named(name)


def test_size_is_counted_in_bytes() -> None:
    """The limit of a message is 32,000 bytes of UTF-8, not characters."""
    Message("é" * 16_000).check_size()
    with pytest.raises(DataError, match="32,002 bytes"):
        Message("é" * 16_001).check_size()


def test_a_request_asks_for_no_more_than_it_must() -> None:
    """A plain request contains only a text and a request ID."""
    request = CreateMessageRequest(Message("x"), "id")
    assert (request.body(), request.parameters()) == ({"text": "x"}, {"requestId": "id"})
