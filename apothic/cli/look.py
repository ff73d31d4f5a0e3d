"""How much may be said, and how: colour, rows that change, or plain lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from apothic_backends.model.errors import UsageError
from apothic_backends.model.record import Record

COLORS = ("auto", "always", "never")


class Look(Record):
    """What is shown on stderr.

    `is_live` draws rows that change below the lines, as only a terminal can.
    """

    is_live: bool = False
    is_colored: bool = False
    is_quiet: bool = False
    is_verbose: bool = False


def look_of(
    environ: Mapping[str, str],
    *,
    is_terminal: bool,
    color: str = "auto",
    is_plain: bool = False,
) -> Look:
    """What suits the terminal, or whatever stderr is; options go before the environment."""
    is_able = is_terminal and environ.get("TERM") != "dumb"
    is_live = is_able and not is_plain and not environ.get("CI")
    is_colored = is_live and not environ.get("NO_COLOR")
    if color != "auto":
        is_colored = color == "always"
    return Look(is_live, is_colored)


def is_json_default(environ: Mapping[str, str]) -> bool:
    """Whether output is JSON where no option says so.

    Raises:
        UsageError: `APOTHIC_OUTPUT` is neither "json" nor "text".
    """
    output = environ.get("APOTHIC_OUTPUT") or "text"
    if output not in ("json", "text"):
        raise UsageError(f"APOTHIC_OUTPUT={output!r}: it must be 'json' or 'text'")
    return output == "json"


def wants_json(argv: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether a command line that cannot be read asks for JSON."""
    return "--json" in argv or environ.get("APOTHIC_OUTPUT") == "json"
