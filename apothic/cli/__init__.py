"""The `apothic` command. What it needs is imported by what needs it, so that it starts fast."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Run the command line of this process and give the exit code."""
    try:
        return _run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _run() -> int:
    if sys.argv[1:] == ["--version"]:
        from apothic import __version__  # without click, which costs twice Python  # noqa: PLC0415

        print(f"apothic {__version__}")
        return 0
    import click  # noqa: PLC0415 - as above

    from apothic.cli.program import program  # noqa: PLC0415

    try:
        return program.main(prog_name="apothic", standalone_mode=False) or 0
    except click.Abort:  # what click makes of Ctrl-C; by itself it would exit with 1
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        from apothic.cli.look import wants_json  # noqa: PLC0415 - as above
        from apothic.cli.talk import refuse  # noqa: PLC0415

        refuse(error, is_json=wants_json(sys.argv, os.environ))
        return error.exit_code
    finally:
        from apothic.cli.output import flush  # noqa: PLC0415 - as above

        flush()
