"""What commands share that do one thing and say so in a line."""

from __future__ import annotations

from collections.abc import Callable

import click

from apothic.cli import output
from apothic.cli.failures import ExitCode, code_of, describe, explain
from apothic.cli.wishes import Wishes


def say(asked: Wishes, text: str) -> None:
    """Say what was done, unless told to be quiet."""
    if not asked.quiet:
        output.put_error(text)


def told(asked: Wishes, do: Callable[[], None]) -> int:
    """Do it; what goes wrong is told on stderr, and the exit code says what kind it was."""
    try:
        do()
    except (click.Abort, KeyboardInterrupt):
        raise KeyboardInterrupt from None
    except Exception as error:  # noqa: BLE001 - told, whatever it is
        is_json = asked.is_json()
        output.put_error(output.line_of({"error": describe(error)}) if is_json else explain(error))
        return code_of(error)
    return ExitCode.DONE


def size(nbytes: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if nbytes < 1024:  # noqa: PLR2004 - that many make the next
            return f"{nbytes:.0f} {unit}"
        nbytes /= 1024
    return f"{nbytes:.1f} TiB"
