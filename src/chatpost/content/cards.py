"""Quick cards, which are built from options.

Source: the Chat API discovery document, the schemas `CardWithId` and `GoogleAppsCardV1...`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from chatpost.content.json_parts import part
from chatpost.content.markup import escape_mentions, linked, literal
from chatpost.content.split import open_fence

if TYPE_CHECKING:
    from chatpost.chat.message import Thread
    from chatpost.content.ci import CiRun

STATUSES = {
    "ok": ("check_circle", "#188038", "OK"),
    "warn": ("warning", "#b06000", "Warning"),
    "fail": ("error", "#c5221f", "Failed"),
    "info": ("info", "#1967d2", "Info"),
}
"""Each status with its Material icon, colour and word."""

WIDGETS_SHOWN = 100
"""Number of widgets of a card that Chat shows; it ignores the rest."""

_TAGS = {
    "block": "<pre>{text}</pre>",
    "code": "<code>{text}</code>",
    "bold": "<b>{text}</b>",
    "italic": "<i>{text}</i>",
    "strike": "<s>{text}</s>",
    "link": '<a href="{url}">{text}</a>',
    "user": "@{text}",
    "item": "• ",
}
"""A template for each kind of markup: the text of a card has a few HTML tags instead."""


class CardMessage(NamedTuple):
    """The message in a card file: ``cardsV2`` and ``accessoryWidgets`` for Chat, its text and its thread, if any.

    ``is_piped``: it was read from a pipe, so mentions in its text are not trusted.
    """

    cards: tuple[Mapping[str, Any], ...]
    text: str | None = None
    fallback_text: str | None = None
    is_markdown: bool = False
    is_piped: bool = False
    thread: Thread | None = None
    accessory_widgets: tuple[Mapping[str, Any], ...] = ()


class CardOptions(NamedTuple):
    """The parts of a quick card, or the path of a card file, ``-`` for stdin.

    ``field`` has pairs of label and value, ``button`` pairs of text and URL. ``ci``: show the CI run. ``form``:
    ``text`` for text instead of a card.
    """

    ci: bool = False
    title: str | None = None
    subtitle: str | None = None
    icon: str | None = None
    status: str | None = None
    image: str | None = None
    field: Sequence[tuple[str, str]] = ()
    button: Sequence[tuple[str, str]] = ()
    card: str | None = None
    form: str | None = None

    @property
    def has_own_parts(self) -> bool:
        """Whether the quick card has parts other than the CI run."""
        return any(self._replace(ci=False, card=None, form=None))

    @property
    def lacks_title(self) -> bool:
        """Whether there is a subtitle or an icon, but neither a title nor a CI run as its title."""
        return bool(self.subtitle or self.icon) and not (self.title or self.ci)

    def quick_card(self, run: CiRun | None) -> QuickCard | None:
        """Return the quick card with the CI run, None if it would be empty."""
        quick = QuickCard(self._replace(ci=False, card=None), run if self.ci else None)
        if self.ci and run is None and not self.title:  # the run would have been the title
            quick = quick.with_parts(subtitle=None, icon=None)
        return quick if quick.parts.has_own_parts or quick.run else None


class QuickCard(NamedTuple):
    """A quick card: its parts, and the CI run, whose values are shown without markup, since others control them."""

    parts: CardOptions
    run: CiRun | None = None

    def with_parts(self, **changes: Any) -> QuickCard:
        """Return the card with these parts changed."""
        return self._replace(parts=self.parts._replace(**changes))

    def masked(self, mask: Callable[[Any], Any]) -> QuickCard:
        """Return the card with ``mask`` applied to its texts, before markup could split a secret."""
        run = self.run and self.run._replace(title=mask(self.run.title), fields=tuple(mask(self.run.fields)))
        return QuickCard(CardOptions(*map(mask, self.parts)), run)

    def message(self, words: str, markdown: str | None) -> CardMessage:
        """Build the card, with the words as its paragraph: in Chat's markup, unless ``markdown`` has them."""
        from html import escape  # it has large tables, and few messages have a card

        from chatpost.chat.syntax import to_html

        widgets: list[dict[str, Any]] = []
        if self.parts.status:
            icon, colour, word = STATUSES[self.parts.status]
            start = {"materialIcon": {"name": icon, "fill": True}}
            text = f'<b><font color="{colour}">{word}</font></b>'
            widgets.append({"decoratedText": {"startIcon": start, "text": text}})
        if words and markdown is not None:
            widgets.append({"textParagraph": {"text": markdown, "textSyntax": "MARKDOWN"}})
        elif words:
            widgets.append({"textParagraph": {"text": to_html(words, _TAGS)}})
        if url := self.parts.image:
            widgets.append({"image": {"imageUrl": url, "onClick": {"openLink": {"url": url}}}})
        fields = [(label, _anchor(escape(value, quote=False), url)) for label, value, url in self._fields_of_run]
        fields += [(label, to_html(value, _TAGS)) for label, value in self.parts.field]
        widgets += ({"decoratedText": {"topLabel": label, "text": text, "wrapText": True}} for label, text in fields)
        if self._links:
            buttons = [{"text": name, "onClick": {"openLink": {"url": url}}} for name, url in self._links]
            widgets.append({"buttonList": {"buttons": buttons}})
        card: dict[str, Any] = {}
        if self._title:
            image = {"imageUrl": self.parts.icon, "imageType": self.parts.icon and "CIRCLE"}
            header = {"title": self._title, "subtitle": self.parts.subtitle, **image}
            card["header"] = {name: value for name, value in header.items() if value}
        if widgets:
            card["sections"] = [{"widgets": widgets}]
        return CardMessage(({"cardId": "chatpost", "card": card},), None, self._in_words(words))

    def text(self, words: str, *, is_markdown: bool) -> str:
        """Return the parts and the words as text: the status and the title, the words, the fields, the links."""
        bold = "**" if is_markdown else "*"
        head = ": ".join(filter(None, (self._status_word, literal(self._title or ""))))
        fields = [(label, linked(value, url, is_markdown=is_markdown)) for label, value, url in self._fields_of_run]
        fields += [(label, escape_mentions(value)) for label, value in self.parts.field]
        if fence := open_fence(words, None, syntax="markdown" if is_markdown else "chat"):
            words = f"{words}\n{fence.closing}"
        lines = [f"{bold}{head}{bold}" if head else "", literal(self.parts.subtitle or ""), words]
        lines += [f"{bold}{literal(label)}{bold}: {value}" for label, value in fields]
        image = [("Image", self.parts.image)] if self.parts.image else []
        lines += [" | ".join(linked(name, url, is_markdown=is_markdown) for name, url in (*image, *self._links))]
        # In Markdown, only a blank line ends a paragraph.
        return ("\n\n" if is_markdown else "\n").join(filter(None, lines))

    @property
    def _title(self) -> str | None:
        return self.parts.title or (self.run.title if self.run else None)

    @property
    def _status_word(self) -> str:
        return STATUSES[self.parts.status][2] if self.parts.status else ""

    @property
    def _fields_of_run(self) -> list[tuple[str, str, str | None]]:
        return [(label, value, self.run.links.get(label)) for label, value in self.run.fields] if self.run else []

    @property
    def _links(self) -> list[tuple[str, str]]:
        run = [("Open run", self.run.url)] if self.run and self.run.url else []
        return [*run, *self.parts.button]

    def _in_words(self, words: str) -> str:
        """Return the fallback text, for notifications, which cannot show a card."""
        first = ": ".join(filter(None, (self._status_word, self._title, self.parts.subtitle, words)))
        fields = ", ".join(f"{label}: {value}" for label, value in self.parts.field)
        text = escape_mentions(first or fields or (self.parts.button[0][0] if self.parts.button else "Image"))
        return f"{text[:500]}..." if text[500:] else text


def _anchor(html: str, url: str | None) -> str:
    return html if url is None else _TAGS["link"].format(url=url.replace("&", "&amp;"), text=html)


def widgets_of(card: object) -> list[Any]:
    """Return the widgets in all sections of a card with its ID, or none if the card is malformed: Chat rejects it."""
    sections = part(part(card, "card", dict), "sections", list)
    return [widget for section in sections for widget in part(section, "widgets", list)]
