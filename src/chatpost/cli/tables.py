"""Tables, trees, progress bars and a live line, drawn at a terminal by rich."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Column, Table
from rich.text import Text
from rich.tree import Tree

from chatpost.concurrency import signals_blocked


def draw_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Draw a table on stdout."""
    table = Table(*(Column(name, overflow="fold") for name in columns), box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def draw_trees(title: str, trees: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """Draw the messages of each thread of each space on stderr."""
    console = Console(stderr=True)
    console.print(Text(title))
    for name, threads in trees.items():
        tree = Tree(Text(name, style="bold"))
        for messages in threads.values():
            branch = tree.add(Text(messages[0]))
            for reply in messages[1:]:
                branch.add(Text(reply))
        console.print(tree)


class PartsBars:
    """Progress bars on stderr, one per long text or space, that count posted parts or messages."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
        self._progress.start()
        self._tasks: dict[str, TaskID] = {}

    def show(self, name: str, number: int, of: int) -> None:
        """Show that ``number`` of ``of`` parts or messages are posted."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=of)
        self._progress.update(self._tasks[name], completed=number, refresh=True)

    def close(self) -> None:
        """Remove the bars."""
        self._progress.stop()


@contextmanager
def live_line(line: Callable[[], str]) -> Iterator[None]:
    """Draw a line on stderr, and update it four times a second, until the context ends."""
    console = Console(stderr=True)
    live = Live(get_renderable=lambda: Text(line(), style="dim"), console=console, refresh_per_second=4, transient=True)
    with signals_blocked():  # for its thread
        live.start()
    try:
        yield
    finally:
        live.stop()
