"""The emulator's page, in a real browser."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.request import urlopen

import pytest
from hypothesis import given, strategies as st
from playwright.sync_api import Page, expect, sync_playwright

from chatpost.emulator.render import card_html, safe_link, text_html
from tests.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import BrowserContext

    from chatpost.emulator import Emulator
    from tests.conftest import Shell

EVIL = "<script>window.evil = 1</script><img src=x onerror='window.evil = 1'>"
CLICK = "<a href='javascript:window.evil=1' onclick='window.evil=1'>click</a>"


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    """Start a headless Chromium."""
    executable = need("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser.new_context()
        browser.close()


@pytest.fixture
def page(browser: BrowserContext, chat: Emulator) -> Iterator[Page]:
    """Open the emulator's page. The page must not send requests to another site or raise errors."""
    page = browser.new_page()
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(chat.page)
    expect(page.locator("#state")).to_have_text("live")
    yield page
    page.close()
    assert all(url.startswith((chat.page, "data:")) for url in asked), asked
    assert errors == []


def test_what_is_posted_appears(page: Page, shell: Shell, chat: Emulator) -> None:
    """Messages appear without a reload, with replies in their thread, and show webhook, time and message name."""
    expect(page.locator(".empty")).to_be_visible()
    assert shell("thread", "-k", "deploy", "Deploy 1.2").status == 0
    expect(page.locator(".thread .message")).to_have_count(1)
    assert shell("reply", "-k", "deploy", "done").status == 0
    assert shell("send", "something else").status == 0
    expect(page.locator(".thread")).to_have_count(2)
    expect(page.locator(".thread").first.locator(".text")).to_have_text(["Deploy 1.2", "done"])
    first = page.locator(".message").first
    expect(first.locator(".name")).to_be_hidden()
    first.locator("summary").click()
    expect(first.locator(".name")).to_have_text(chat.space().messages[0].name)
    expect(first.locator(".sender")).to_have_text("1")
    expect(first.locator(".meta b")).to_have_text("webhook 1")
    expect(first.locator("time")).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))


def test_each_space_and_webhook(page: Page, shell: Shell, chat: Emulator) -> None:
    """The page shows each space, and the webhook of each message."""
    for space, token in (("ONE", "a"), ("ONE", "b"), ("TWO", "a")):
        shell.env["CHATPOST_URL"] = chat.url(space, token=token)
        assert shell("send", "hello").status == 0
    expect(page.locator(".space h2")).to_have_text(["spaces/ONE", "spaces/TWO"])
    expect(page.locator(".meta b")).to_have_text(["webhook 1", "webhook 2", "webhook 1"])


CONTRAST = """
(element) => {
  const rgb = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => c / 255).map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  let back = element;
  while (back && rgb(getComputedStyle(back).backgroundColor)[3] === 0) back = back.parentElement;
  const pair = [getComputedStyle(element).color, getComputedStyle(back).backgroundColor].map(rgb).map(luminance);
  return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(page: Page, shell: Shell, scheme: Literal["light", "dark"]) -> None:
    """Texts, and the colours of each status, have a contrast of at least 4.5:1 in light and dark mode."""
    page.emulate_media(color_scheme=scheme)
    for status in ("ok", "warn", "fail", "info"):
        assert shell("send", "--title", "T", "--status", status, "--field", "A=1", "text").status == 0
    assert shell("send", "hello <https://x.example|link> `code` <users/all>").status == 0
    expect(page.locator(".message")).to_have_count(5)
    for place in page.locator(
        ".message :is(font, h3, p, b, time, a, code, .label, .bubble, .mention, .sender, .app)"
    ).all():
        contrast = place.evaluate(CONTRAST)
        assert contrast >= 4.5, (place.inner_text(), contrast)


def test_the_request_is_shown(page: Page, shell: Shell) -> None:
    """A click shows the request with its secrets masked. It stays open when new messages arrive."""
    assert shell("send", "--request-id", "mine", "hello").status == 0
    page.locator("summary").click()
    request = page.locator("details pre").first
    expect(request).to_be_visible()
    expect(request).to_contain_text("POST /v1/spaces/AAAA/messages?")
    expect(request).to_contain_text("requestId=mine")
    expect(request).to_contain_text("key=***")
    expect(request).to_contain_text('"text": "hello"')
    assert shell("send", "more").status == 0
    expect(page.locator(".message")).to_have_count(2)
    expect(request).to_be_visible()


def test_a_card(page: Page, shell: Shell) -> None:
    """A card shows its header, sections, text, fields, buttons, dividers, and placeholders for images."""
    posted = shell(
        *("send", "--title", "Backup", "--subtitle", "tonight", "--icon", "https://example.com/i.png"),
        *("--status", "ok", "--field", "Size=12 GB", "--button", "Log=https://example.com/log", "All done"),
    )
    assert posted.status == 0
    card = page.locator(".card")
    expect(card.locator("h3")).to_have_text("Backup")
    expect(card.locator(".paragraph")).to_have_text("All done")
    expect(card.locator(".decorated").nth(1)).to_contain_text("Size")
    expect(card.locator(".decorated").nth(1)).to_contain_text("12 GB")
    expect(card.locator("a.button")).to_have_attribute("href", "https://example.com/log")
    expect(card.locator(".avatar")).to_be_visible()
    widgets = [{"image": {"imageUrl": "https://example.com/x.png", "altText": "a graph"}}, {"divider": {}}]
    more = {"sections": [{"header": "Section", "widgets": widgets}]}
    assert shell("send", "--card", "-", stdin=json.dumps(more)).status == 0
    expect(card.nth(1).locator("h4")).to_have_text("Section")
    expect(card.nth(1).locator(".image")).to_have_text("image: a graph")
    expect(card.nth(1).locator("hr")).to_have_count(1)
    expect(page.locator("img")).to_have_count(0)


def test_every_kind_of_widget(page: Page, shell: Shell) -> None:
    """The page draws icons, columns, grids, chips, selections and inputs. An unknown icon shows its name."""
    items = [{"text": "yes", "value": "y", "selected": True}, {"text": "no", "value": "n"}]
    inner = [{"widgets": [{"textParagraph": {"text": side}}]} for side in ("left", "right")]
    widgets = [
        {"decoratedText": {"startIcon": {"materialIcon": {"name": "warning"}}, "text": "sign"}},
        {"decoratedText": {"startIcon": {"knownIcon": "EMAIL"}, "text": "emoji"}},
        {"decoratedText": {"startIcon": {"materialIcon": {"name": "raven"}}, "text": "name"}},
        {"columns": {"columnItems": inner}},
        {"grid": {"title": "Grid", "columnCount": 3, "items": [{"title": "one", "subtitle": "1"}, {"title": "two"}]}},
        {"chipList": {"chips": [{"label": "chip"}]}},
        {"selectionInput": {"name": "s", "label": "Choose", "type": "CHECK_BOX", "items": items}},
        {"textInput": {"name": "t", "label": "Type", "value": "typed"}},
        {"textParagraph": {"text": "**bold**", "textSyntax": "MARKDOWN"}},
    ]
    assert shell("send", "--card", "-", stdin=json.dumps({"sections": [{"widgets": widgets}]})).status == 0
    card = page.locator(".card")
    expect(card.locator(".icon svg.warning")).to_be_visible()
    expect(card.locator(".icon-emoji")).to_have_text("✉️")
    expect(card.locator(".icon-name")).to_have_text("raven")
    left, right = (card.locator(".columns > div").nth(number).bounding_box() for number in range(2))
    assert left is not None
    assert right is not None
    assert left["x"] < right["x"]
    expect(card.locator(".grid .tile")).to_have_count(2)
    expect(card.locator(".chips .button")).to_have_text("chip")
    expect(card.locator(".selection")).to_contain_text("☑")
    expect(card.locator(".input")).to_contain_text("typed")
    expect(card.locator(".markdown strong")).to_have_text("bold")


def test_an_index_of_spaces(page: Page, shell: Shell, chat: Emulator) -> None:
    """With several spaces, an index links to each. The newest message scrolls into view."""
    page.set_viewport_size({"width": 600, "height": 400})
    for number in range(8):
        shell.env["CHATPOST_URL"] = chat.url("ONE" if number else "TWO")
        assert shell("send", f"message {number}").status == 0
    expect(page.locator(".index a")).to_have_text(["spaces/TWO", "spaces/ONE"])
    newest = page.locator("[data-newest]")
    expect(newest).to_contain_text("message 7")
    expect(newest).to_be_in_viewport()
    page.locator(".index a").first.click()
    expect(page.locator(".space h2").first).to_be_in_viewport()


def test_a_narrow_page(page: Page, shell: Shell, chat: Emulator) -> None:
    """At 400 pixels, the page does not scroll sideways, and message names are behind a click."""
    page.set_viewport_size({"width": 400, "height": 700})
    table = "| a | b |\n|---|---|\n| 1 | 2 |\n\n> quoted\n\n" + "w" * 100
    assert shell("send", "--markdown", table).status == 0
    expect(page.locator(".message")).to_have_count(1)
    page.locator("summary").click()
    expect(page.locator(".name")).to_have_text(chat.space().messages[0].name)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.evaluate("getComputedStyle(document.querySelector('blockquote')).borderLeftStyle") == "solid"
    assert page.evaluate("getComputedStyle(document.querySelector('td')).borderTopStyle") == "solid"


def cpu_of(text: str) -> float:
    """Return the minimum CPU time in seconds to render a text, over three runs."""
    taken = []
    for _ in range(3):
        began = time.process_time()
        card_html(text)
        taken.append(time.process_time() - began)
    return min(taken)


def test_a_card_full_of_tags_is_quick() -> None:
    """Ten times as many unclosed tags take about ten times as long, and nest only to a limit."""
    for piece in ("<a ", "<b>", "</i>", '<a href="https://x.y">', "<font "):
        assert len(card_html(piece * 10_000)) < 2_000_000
        assert cpu_of(piece * 20_000) < 40 * cpu_of(piece * 2_000)  # quadratic time would be 100 times as much
        assert str(card_html("<b>" + piece * 10_000)).count("<b>") <= 50


def test_nothing_that_is_shown_runs(page: Page, shell: Shell) -> None:
    """Scripts, event handlers and unsafe links in a text, in Markdown or in a card do not run."""
    assert shell("send", EVIL).status == 0
    assert shell("send", "--markdown", f"{EVIL} [click](javascript:window.evil=1)").status == 0
    assert shell("send", f"<javascript:window.evil=1|click> {EVIL}").status == 0
    button = {"text": EVIL, "onClick": {"openLink": {"url": "javascript:window.evil=1"}}}
    widgets = [
        {"textParagraph": {"text": f"{EVIL} {CLICK}"}},
        {"decoratedText": {"topLabel": EVIL, "text": f"{EVIL} {CLICK}"}},
        {"buttonList": {"buttons": [button]}},
        {"image": {"imageUrl": "javascript:window.evil=1", "altText": EVIL}},
    ]
    header = {"title": EVIL, "imageUrl": 'x" onerror="window.evil=1'}
    card = {"header": header, "sections": [{"header": EVIL, "widgets": widgets}]}
    assert shell("send", "--card", "-", stdin=json.dumps(card)).status == 0
    expect(page.locator(".message")).to_have_count(4)
    expect(page.locator(".text").first).to_have_text(EVIL)
    for place in page.locator("main :is(a, .button, .text, .paragraph, .decorated)").all():
        place.click()
    assert page.evaluate("window.evil") is None
    assert page.locator("main :is(script, img, [onerror], [onclick], a[href^=javascript])").count() == 0


def test_light_and_dark(page: Page) -> None:
    """The page follows the system's light or dark theme."""
    page.emulate_media(color_scheme="light")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light


def test_open(shell: Shell) -> None:
    """`--open` opens the page in the browser."""
    viewer = shell.home / "viewer"
    viewer.write_text(f'#!/bin/sh\necho "$1" > {shell.home}/opened\n')
    viewer.chmod(0o755)
    shell.env["BROWSER"] = str(viewer)
    wait = "while ! [ -s opened ]; do sleep 0.1; done; echo $CHATPOST_URL"
    done = shell("emulator", "--open", "--", "sh", "-c", wait)
    assert done.status == 0
    opened = (shell.home / "opened").read_text().strip()
    assert opened.endswith("/")
    assert done.out.startswith(opened)


def test_the_policy(chat: Emulator) -> None:
    """The page's content security policy allows only its own script, in case escaping fails."""
    with urlopen(chat.page) as answer:  # noqa: S310 - the URL is the emulator's
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("*bold* _italic_ ~gone~", "<strong>bold</strong> <em>italic</em> <s>gone</s>"),
        ("2*3*4 a_b_c", "2*3*4 a_b_c"),
        ("*a _b_*", "<strong>a <em>b</em></strong>"),
        ("`*x*`", "<code>*x*</code>"),
        ("```\na <b>\n```", "<pre><code>a &lt;b&gt;</code></pre>"),
        ("<users/all>", '<span class="mention">@all</span>'),
        ("* one\n* two", "• one\n• two"),
        ("<https://x.y/?a&b|*c*>", '<a href="https://x.y/?a&amp;b" rel="noreferrer noopener" target="_blank">*c*</a>'),
    ],
)
def test_chats_markup(text: str, html: str) -> None:
    """The page renders Chat's markup like Chat."""
    assert text_html(text, is_markdown=False) == html


def test_markdown() -> None:
    """The page renders Markdown as CommonMark, with mentions."""
    html = text_html("# Head\n\n**b** <users/all>\n\n- a\n- b\n\n```sh\nls\n```", is_markdown=True)
    for part in (
        "<h1>Head</h1>",
        "<strong>b</strong>",
        '<span class="mention">@all</span>',
        "<li>a</li>",
        "<pre><code",
    ):
        assert part in html


PIECES = (
    *("<script>", "</a>", "<a href='javascript:x'>", "<b>", "</b>", "<font color='#123456'>", " onerror=", "a", "\n"),
    *("*", "_", "`", "```", "<", ">", "|", '"', "'", "&", "https://x.y", "<users/", "[x](javascript:y)", "<https://x|"),
)


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_only_known_tags(text: str) -> None:
    """Any text or card text renders to known tags only, with links only to the web."""
    for html in (text_html(text, is_markdown=False), text_html(text, is_markdown=True), card_html(text)):
        assert not re.search(r"<(?!/?(?:strong|em|s|b|font|a|code|pre|span|p|br|ul|ol|li|h\d|blockquote|hr)\b)", html)
        tags = re.findall(r"<[^>]*>", html)
        assert not [tag for tag in tags if re.search(r"""^<\w+ [^"]*\bon\w+=|href="(?!https?://)""", tag)]
    assert safe_link(text) is None or text.startswith("http")


def test_picture_of_a_mention(page: Page, shell: Shell, chat: Emulator, tmp_path: Path) -> None:
    """The page shows a message with mentions by name, for docs/mentions.md (`make docs` takes the picture)."""
    names = '[mentions]\nalice = "108506379394699518012"\nbob = "113415678901234567890"\noncall = ["alice", "bob"]\n'
    shell.write_profiles(f'{names}[profiles.ops]\nurl = "{chat.url()}"\n')
    assert shell("send", "-p", "ops", "--mention", "oncall", "The shop is down").status == 0
    expect(page.locator(".message")).to_have_count(1)
    page.set_viewport_size({"width": 700, "height": 220})
    path = Path(os.environ.get("CHATPOST_MENTIONS", tmp_path / "page.png"))
    page.screenshot(path=path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_screenshot(page: Page, shell: Shell, tmp_path: Path) -> None:
    """The page shows a day's messages, for docs/emulator.md (`make docs` takes the picture)."""
    assert shell("thread", "-k", "deploy", "*Deploy 1.2* to <https://example.com|production> <users/all>").status == 0
    assert shell("reply", "-k", "deploy", "--code", "$ ./deploy.sh\nmigrating\nrestarting").status == 0
    assert shell("reply", "-k", "deploy", "Done in _42 s_").status == 0
    card = ("--title", "Backup", "--subtitle", "db-1", "--icon", "https://example.com/db.png", "--status", "ok")
    more = ("--field", "Size=12 GB", "--button", "Log=https://example.com", "All is well.")
    assert shell("send", *card, *more).status == 0
    expect(page.locator(".message")).to_have_count(4)
    page.set_viewport_size({"width": 900, "height": 720})
    path = Path(os.environ.get("CHATPOST_SCREENSHOT", tmp_path / "page.png"))
    page.screenshot(path=path, full_page=True)
    assert path.read_bytes().startswith(b"\x89PNG")
