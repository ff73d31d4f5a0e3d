"""A picture of the whole terminal that changes; what was there before comes back at the end."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table as Drawn
from rich.text import Text

from apothic_emulator.top.scene import Observer, Scene
from apothic_emulator.top.tables import BAD, BUSY, CALM, DIM, FULL, Cell, Table, said

REFRESH_S = 2.0
QUIT = ("q", "Q", "\x04")

_STYLES = {CALM: "green", BUSY: "yellow", FULL: "red", BAD: "bold red", DIM: "dim"}


def watch(observer: Observer, tables: Callable[[Scene], list[Table]], look: Any) -> None:
    """Draw what is seen, every 2 seconds and at each key, until q is pressed."""
    console = Console(no_color=not look.is_colored)
    with _single_keys(), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            scene = observer.look()
            live.update(_picture(tables(scene), said(scene)), refresh=True)
            if _is_over():
                return


def _is_over() -> bool:
    """Whether somebody has pressed q, or has gone, before it is time to look again."""
    if not select.select([sys.stdin], [], [], REFRESH_S)[0]:
        return False
    pressed = os.read(sys.stdin.fileno(), 1).decode("latin-1")
    return not pressed or pressed in QUIT


@contextmanager
def _single_keys() -> Generator[None]:
    """Have keys come as they are pressed; Ctrl-C is a signal as ever."""
    before: list[Any] = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _picture(tables: list[Table], silence: str) -> Group:
    parts: list[Any] = []
    for table in tables:
        parts += [Text(table.title, style="bold"), _drawn(table)]
        parts += [Text(f"{table.note}\n", style="dim")] if table.note else [Text("")]
    if silence:
        parts.append(Text(silence, style="yellow"))
    return Group(*parts, Text("q quits", style="dim"))


def _drawn(table: Table) -> Any:
    if not table.rows:
        return Text("none", style="dim")
    drawn = Drawn(box=None, pad_edge=False, header_style="dim")
    for head in table.heads:
        drawn.add_column(head, no_wrap=True)
    for row in table.rows:
        drawn.add_row(*map(_text, row))
    return drawn


def _text(cell: Cell) -> Text:
    return Text(cell.text, style=_STYLES.get(cell.style, ""))
