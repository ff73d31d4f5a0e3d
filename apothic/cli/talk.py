"""What a command says beside its result: what jobs print and do, and what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Self

import click

from apothic.cli import ways
from apothic.cli.failures import (
    ExitCode,
    bug_text,
    code_of,
    describe,
    describe_bug,
    describe_usage,
    explain,
)
from apothic.cli.live import View
from apothic.cli.look import Look
from apothic.cli.output import line_of, put_error
from apothic.cli.screen import Screen
from apothic.cli.stream import Follower, JsonView, Sink
from apothic.cli.ways import Ways
from apothic.cli.wishes import Wishes
from apothic.functions import DECLARED
from apothic_backends.base import Backend
from apothic_backends.connection import when_open
from apothic_backends.model.errors import NotFound, UsageError

_HURRY_S = 1.0
"""How long a reader may hold up the end of a program that was interrupted."""


class Talk:
    """Follows jobs from the moment that there is a backend, if anything is to be shown of them."""

    def __init__(self, wishes: Wishes) -> None:
        self.wishes = wishes
        self._open = ExitStack()
        self._is_finished = False
        self._screen = Screen(sys.stderr)
        self._follower: Follower | None = None
        self.view: View | None = None

    def __enter__(self) -> Self:
        """Wait for the backend."""
        look = self.wishes.look()
        if look.is_live and not look.is_quiet:
            self._open.enter_context(self._screen)
        when_open(self._begin)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Show the rest, and stop."""
        when_open(None)
        self.finish(in_hurry=kind is not None)

    @property
    def is_json(self) -> bool:
        """Whether stderr is read by a program."""
        return self.wishes.is_json()

    def is_stream(self) -> bool:
        """Whether the events of the one job are the output, so that nothing else tells of them."""
        return bool(self.wishes.watch) and (self.is_json or not sys.stdout.isatty())

    def prepare(self, how: Ways) -> None:
        """See to it that calls are run that way; what is printed in this process is seen already.

        Raises:
            UsageError: a backend of another kind is open already.
        """
        ways.prepare(how)
        if ways.is_inline():
            self.finish()

    def _begin(self, backend: Backend) -> None:
        look = self.wishes.look()
        if look.is_quiet or self.is_stream() or self._follower or self._is_finished:
            return
        self._follower = Follower(self._make_view(look), self._screen)
        self._follower.begin(backend)

    def _make_view(self, look: Look) -> Sink:
        if self.is_json:
            return JsonView(look)
        is_watching = bool(self.wishes.watch)
        self.view = View(look, is_watching=is_watching, limits=most_at_once)
        return self.view

    def watch(self, job_id: str) -> None:
        """That is the job whose life is told."""
        if self.view is not None:
            self.view.watched = job_id

    def finish(self, *, in_hurry: bool = False) -> None:
        """Show all that has happened until now, and no more; the first time counts."""
        if not self._is_finished:
            self._is_finished = True
            if self._follower is not None:
                self._follower.finish(_HURRY_S if in_hurry else None)
            self._open.close()

    def say(self, text: str) -> None:
        """Tell people something."""
        if not self.is_json and not self.wishes.quiet:
            put_error(text, _HURRY_S)

    def fail(self, error: BaseException) -> None:
        """Tell what went wrong, after everything that led to it."""
        in_hurry = isinstance(error, KeyboardInterrupt)
        self.finish(in_hurry=in_hurry)
        told = line_of({"error": describe(error)}) if self.is_json else explain(error)
        put_error(told, _HURRY_S if in_hurry else None)

    def report(self, command: Callable[[], int]) -> int:
        """Carry out a command of ours and tell what went wrong with it: its exit code."""
        try:
            return command()
        except (NotFound, UsageError) as error:
            self.fail(error)
            return code_of(error)
        except click.ClickException as error:
            self.finish()
            refuse(error, is_json=self.is_json)
            return error.exit_code
        except click.Abort:  # what click makes of Ctrl-C
            raise KeyboardInterrupt from None
        except Exception as error:  # noqa: BLE001 - not the user's doing, whatever it is
            self.finish()
            put_error(line_of({"error": describe_bug(error)}) if self.is_json else bug_text(error))
            return ExitCode.BUG


def refuse(error: click.ClickException, *, is_json: bool) -> None:
    """Tell what is wrong with a command line."""
    if is_json:
        put_error(line_of({"error": describe_usage(error)}))
    else:
        error.show()


def most_at_once(app_name: str, name: str) -> int | None:
    """How many calls of a function may run at the same time, if this program declares it."""
    declared = DECLARED.get((app_name, name))
    if declared is None:
        return None
    spec = declared.spec()
    most: int = spec.max_containers * spec.concurrent_requests
    return most
