"""Commands that do one thing, and say so in a line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import update_wrapper
from importlib import import_module
from typing import Any, TypeGuard

import click

from apothic.cli import output
from apothic.cli.wishes import Wishes, everywhere, with_options
from apothic_backends.model.errors import ApothicError, NotFound, UsageError


def does(what: str) -> Callable[[Callable[[], None]], Callable[..., None]]:
    """A command that `module.function` of this package carries out; the docstring is its help.

    The function is called with what was asked for and the command's own parameters. It is imported
    then, so that --help starts fast.
    """
    module, _, function = what.rpartition(".")

    def decorate(described: Callable[[], None]) -> Callable[..., None]:
        def run(asked: Wishes, **given: Any) -> None:
            wishes = asked.over(given)
            own = {name: value for name, value in given.items() if name not in wishes.fields}
            do = getattr(import_module(f"apothic.cli.{module}"), function)
            sys.exit(told(wishes, lambda: do(wishes, **own)))

        return with_options(everywhere)(click.pass_obj(update_wrapper(run, described)))

    return decorate


def say(asked: Wishes, text: str) -> None:
    """Say what was done, unless told to be quiet, or to give JSON."""
    if not asked.quiet and not asked.is_json():
        output.put_error(text)


def size(nbytes: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if nbytes < 1024:  # noqa: PLR2004 - that many make the next
            return f"{nbytes:.0f} {unit}"
        nbytes /= 1024
    return f"{nbytes:.1f} TiB"


def told(asked: Wishes, do: Callable[[], None]) -> int:
    """Do it; what goes wrong is told on stderr, and the exit code says what kind it was."""
    try:
        do()
    except click.Abort:  # what click makes of Ctrl-C at a prompt
        return _tell(asked, KeyboardInterrupt())
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - told, whatever it is
        return _tell(asked, _of_file(error) if _is_of_file(error) else error)
    return 0


def _tell(asked: Wishes, error: BaseException) -> int:
    from apothic.cli.failures import code_of, describe, explain  # noqa: PLC0415 - rare

    told = output.line_of({"error": describe(error)}) if asked.is_json() else explain(error)
    output.put_error(told)
    return code_of(error)


def _is_of_file(error: BaseException) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and not isinstance(error, ApothicError)


def _of_file(error: OSError) -> Exception:
    text = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return NotFound(text) if isinstance(error, FileNotFoundError) else UsageError(text)
