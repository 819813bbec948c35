"""Draws bar charts of the tables in docs/performance.md, as SVG, for the docs and the README (`make bench`)."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parent.parent.parent / "docs"
_WIDTH, _ROW, _LEFT, _TOP = 640, 34, 230, 44


class Chart(NamedTuple):
    """A bar chart of one column of a table, with the column's unit. The letter is the table's."""

    letter: str
    title: str
    column: int
    unit: str


CHARTS = {
    "bench-send.svg": Chart("a", "CPU time of one message, in milliseconds (less is better)", 0, "ms"),
    "bench-jobs.svg": Chart("c", "Messages delivered when 20 are posted at once (more is better)", 0, ""),
    "bench-outbox.svg": Chart("e", "Seconds to post 1,000 messages from the outbox (less is better)", 2, "s"),
}


def rows_of(page: str, letter: str) -> list[tuple[str, list[str]]]:
    """Return the rows of a table: the first cell without markup, and the other cells."""
    table = page.split(f"**({letter}) ")[1].split("\n\n")[1]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return [(re.sub("[`*]", "", cells[0]), cells[1:]) for cells in rows]


def draw(chart: Chart, rows: list[tuple[str, float]]) -> str:
    """Return the chart as SVG, with colors for light and dark pages."""
    height = _TOP + _ROW * len(rows) + 10
    most = max(value for _, value in rows)
    style = "text{font:14px system-ui,sans-serif;fill:#444}.b{fill:#1967d2}.o{fill:#9aa0a6}"
    dark = "@media(prefers-color-scheme:dark){text{fill:#ddd}.b{fill:#8ab4f8}.o{fill:#5f6368}}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{escape(chart.title)}</title><style>{style}{dark}</style>",
        f'<text x="0" y="20" font-weight="bold">{escape(chart.title)}</text>',
    ]
    for number, (name, value) in enumerate(rows):
        y, length = _TOP + number * _ROW, (_WIDTH - _LEFT - 80) * value / most
        kind = "b" if name.startswith("chatpost") else "o"
        lines.append(f'<text x="{_LEFT - 10}" y="{y + 16}" text-anchor="end">{escape(name)}</text>')
        lines.append(f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{max(length, 1):.0f}" height="22" rx="3"/>')
        lines.append(f'<text x="{_LEFT + length + 8:.0f}" y="{y + 16}">{value:g} {chart.unit}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def charts() -> dict[str, str]:
    """Return each chart by the name of its file. Rows without figures are left out."""
    page = (DOCS / "performance.md").read_text()
    drawn = {}
    for name, chart in CHARTS.items():
        cells_of = rows_of(page, chart.letter)
        rows = [(label, _number(cells[chart.column])) for label, cells in cells_of if cells[chart.column]]
        if chart.letter == "e":  # a table of one row without a label
            cells = rows_of(page, "e")[0]
            rows = [("chatpost outbox flush --digest", _number(cells[1][1])), ("one message per second", 1000.0)]
        drawn[name] = draw(chart, rows)
    return drawn


def _number(cell: str) -> float:
    found = re.match(r"[\d.,]+", cell)
    assert found is not None, cell
    return float(found[0].replace(",", ""))


if __name__ == "__main__":
    for file, svg in charts().items():
        (DOCS / file).write_text(svg)
