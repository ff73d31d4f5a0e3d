"""The rows that change below the lines, drawn by `rich`. Only a terminal has them."""

from __future__ import annotations

from io import StringIO
from typing import Any

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from apothic.cli.seen import Seen
from apothic.cli.tally import Tally

_MOST_ROWS = 8
_BAR = 32
_FAST = 10
"""From so many a second on, no tenths are shown."""


def draw(
    maps: list[Tally],
    told: list[Seen],
    texts: list[str],
    now: float,
    width: int,
    *,
    is_colored: bool,
) -> list[str]:
    """A row for each map that runs, for each job that tells its progress, and for each text."""
    page = StringIO()
    colors: Any = "standard" if is_colored else None
    console = Console(
        file=page, width=max(10, width - 1), color_system=colors, force_terminal=True, emoji=False
    )
    if maps or told:
        console.print(_table(maps[:_MOST_ROWS], told[:_MOST_ROWS], now))
    for text in filter(None, texts):
        console.print(Text.from_ansi(text), no_wrap=True, overflow="ellipsis", highlight=False)
    return page.getvalue().splitlines()


def _table(maps: list[Tally], told: list[Seen], now: float) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(width=_BAR, min_width=4)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, overflow="ellipsis")
    for tally in maps:
        bar = ProgressBar(total=tally.known, completed=tally.done)
        counts = f"{tally.done}/{tally.known}"
        table.add_row(Text(tally.name, style=tally.paint), bar, counts, _pace(tally, now))
    for seen in told:
        table.add_row(Text(seen.label), *_progress(seen.progress or {}))
    return table


def _pace(tally: Tally, now: float) -> Text:
    rate = tally.rate(now)
    pace = Text("" if rate is None else f"{rate:,.{0 if rate >= _FAST else 1}f}/s")
    if tally.failed:
        pace.append(f"{'  ' if pace else ''}{tally.failed} failed", style="red")
    return pace


def _progress(told: dict[str, Any]) -> tuple[ProgressBar, str, Text]:
    done, total = told["done"], told["total"]
    bar = ProgressBar(total=total or 1, completed=done if total else 0)
    counts = f"{done:g}" if total is None else f"{done:g}/{total:g}"
    return bar, counts, Text(told["message"].partition("\n")[0])
