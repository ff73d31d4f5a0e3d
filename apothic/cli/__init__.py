"""The `apothic` command. What it needs is imported by what needs it, so that it starts fast."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line of this process and exit with its code."""
    if sys.argv[1:] == ["--version"]:
        from apothic import __version__  # without click, which costs twice Python  # noqa: PLC0415

        print(f"apothic {__version__}")
        return
    from apothic.cli.program import program  # noqa: PLC0415 - as above

    program(prog_name="apothic")
