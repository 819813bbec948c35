from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given, strategies as st

from chatpost.chat.webhook import Webhook, mask_urls, mask_webhooks
from chatpost.errors import ConfigurationError
from tests.conftest import KEY, PIECES, TOKEN

GOOD = f"https://chat.googleapis.com/v1/spaces/AAAA/messages?key={KEY}&token={TOKEN}"


@pytest.mark.parametrize(
    ("url", "origin", "loopback"),
    [
        (GOOD, "https://chat.googleapis.com", False),
        (f"  {GOOD}\n", "https://chat.googleapis.com", False),
        (f'"{GOOD}"', "https://chat.googleapis.com", False),
        (f"'{GOOD}'\r\n", "https://chat.googleapis.com", False),
        (GOOD.replace("&", "&amp;"), "https://chat.googleapis.com", False),
        (GOOD.replace("&", "&#38;"), "https://chat.googleapis.com", False),
        (GOOD.replace("&", "&#x26;"), "https://chat.googleapis.com", False),
        (GOOD.replace("&", "\\u0026"), "https://chat.googleapis.com", False),
        (GOOD.replace("&", "\\&").replace("?", "\\?").replace("/", "\\/"), "https://chat.googleapis.com", False),
        (GOOD.replace("chat.", "chat.mtls.").replace("https", "HTTPS"), "https://chat.mtls.googleapis.com", False),
        (GOOD.replace("https://chat.googleapis.com", "http://127.0.0.1:80"), "http://127.0.0.1:80", True),
        (GOOD.replace("https://chat.googleapis.com", "https://localhost:8443"), "https://localhost:8443", True),
        (GOOD.replace("https://chat.googleapis.com", "http://[::1]:1"), "http://[::1]:1", True),
        (GOOD.replace(f"key={KEY}&token={TOKEN}", f"token={TOKEN}&key={KEY}"), "https://chat.googleapis.com", False),
    ],
)
def test_reads_a_webhook(url: str, origin: str, loopback: bool) -> None:  # noqa: FBT001 - a column of the table
    """`Webhook.parse` keeps the key and token of a URL unchanged. Only loopback hosts may use HTTP."""
    webhook = Webhook.parse(url)
    assert (webhook.origin, webhook.space, webhook.is_loopback) == (origin, "spaces/AAAA", loopback)
    assert webhook.request_url({}) == f"{origin}/v1/spaces/AAAA/messages?key={KEY}&token={TOKEN}"


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("", "empty"),
        ("chat.googleapis.com/v1/spaces/A/messages?key=k&token=t", "https://"),
        (GOOD.replace("https", "ftp"), "https://"),
        (GOOD.replace("https", "http"), "http://"),
        (GOOD.replace("chat.googleapis.com", "evil.com"), "host"),
        (GOOD.replace("chat.googleapis.com", "chatgoogleapis.com"), "host"),
        (GOOD.replace("chat.googleapis.com", "googleapis.com.evil.com"), "host"),
        (GOOD.replace("chat.googleapis.com", "evil.com\\.googleapis.com"), "host"),
        (GOOD.replace("chat.googleapis.com", "10.0.0.1"), "host"),
        (GOOD.replace("https://chat.googleapis.com", "http://127.999.999.999"), "host"),
        (GOOD.replace("https://chat.googleapis.com", "http://127.\u0660.\u0660.\u0661"), "host"),
        (GOOD.replace("chat.googleapis.com", f"{'a' * 64}.googleapis.com"), "host"),
        (GOOD.replace("chat.googleapis.com", "chat.googleapis.com:99999"), "port"),
        (GOOD.replace("chat.googleapis.com", "[::1"), "invalid host or port"),
        (GOOD.replace("chat.googleapis.com", "me:pw@chat.googleapis.com"), "user name"),
        (GOOD.replace("chat.googleapis.com", "chat.googleapis.com@evil.com"), "user name"),
        (GOOD.replace("/messages", ""), "path"),
        (GOOD.replace("/spaces/AAAA", "/spaces/AA/../AA"), "path"),
        (GOOD.replace("/v1", "/v2"), "path"),
        (f"{GOOD}#x", "fragment"),
        (f"https://chat.googleapis.com/v1/spaces/AAAA/messages?key={KEY}", "no token"),
        (f"https://chat.googleapis.com/v1/spaces/AAAA/messages?token={TOKEN}", "no key"),
        ("https://chat.googleapis.com/v1/spaces/AAAA/messages", "no key"),
        (GOOD.replace(TOKEN, ""), "token is empty"),
        (GOOD.replace(TOKEN, "a b"), "token"),
        (f"{GOOD}&token={TOKEN}", "two token"),
        (f"{GOOD}&threadKey=x", "--thread-key"),
        (f"{GOOD}&messageReplyOption=REPLY_MESSAGE_OR_FAIL", "--or-fail"),
        (f"{GOOD}&{TOKEN}=x", "other than key and token"),
    ],
)
def test_rejects_what_is_no_webhook(url: str, names: str) -> None:
    """`Webhook.parse` rejects a URL that is not a webhook, names the invalid part, and quotes no secret."""
    with pytest.raises(ConfigurationError) as rejection:
        Webhook.parse(url)
    assert names in str(rejection.value)
    assert not any(piece in str(rejection.value) for piece in PIECES)


@given(
    st.text()
    | st.text().map(lambda tail: GOOD + tail)
    | st.text().map(lambda host: f"https://{host}/v1/spaces/A/messages")
)
def test_reads_any_string(url: str) -> None:
    """Any string is either a webhook on googleapis.com or loopback, or is rejected without being quoted."""
    try:
        webhook = Webhook.parse(url)
    except ConfigurationError as rejection:
        assert not any(piece in str(rejection) for piece in PIECES)  # noqa: PT017 - either outcome is right
    else:
        assert webhook.is_loopback or webhook.host.partition(":")[0].endswith(".googleapis.com")


def test_shows_itself_masked() -> None:
    """No string form of a webhook shows its key or token."""
    webhook = Webhook.parse(GOOD)
    shown = f"{webhook} {webhook!r} {[webhook]} {webhook.masked_url({'requestId': 'x'})}"
    assert "key=***&token=***&requestId=x" in shown
    assert not any(piece in shown for piece in PIECES)


@given(st.text(), st.integers(0, 30), st.integers(8, 40), st.text())
def test_masks_pieces(before: str, start: int, length: int, after: str) -> None:
    """Pieces of 8 or more characters of a secret are masked, and the surrounding text stays."""
    webhook = Webhook.parse(GOOD)
    piece = (KEY + TOKEN)[start : start + length]
    masked = webhook.mask(f"{before}\n{KEY[start:][:length]}\n{after}\n{piece}")
    assert not any(p in masked for p in PIECES)
    assert webhook.mask(f"{before}\n{after}") == mask_urls(f"{before}\n{after}")


def test_masks_urls_it_does_not_know() -> None:
    """`mask_urls` masks a webhook's URL even if it was never parsed."""
    assert mask_urls(f"no such command '{GOOD}'") == (
        "no such command 'https://chat.googleapis.com/v1/spaces/AAAA/messages?key=***&token=***'"
    )


@pytest.mark.parametrize(
    "form",
    [
        GOOD,
        GOOD.replace("&", "&amp;"),
        GOOD.replace("&", "\\u0026"),
        quote(GOOD, safe=""),
        f"<a href='{GOOD}'>",
        f"see {GOOD}&threadKey=x for more",
    ],
)
def test_masks_webhooks_in_messages(form: str) -> None:
    """`mask_webhooks` masks the key and token of a webhook's URL in any encoding. Other URLs stay unchanged."""
    other = "https://example.com/?token=theirs"
    masked = mask_webhooks({"text": f"{form} {other}", "cards": [(form,)], "number": 1})
    assert not [piece for piece in PIECES if piece in str(masked)], masked
    assert other in masked["text"]
    assert masked["number"] == 1
