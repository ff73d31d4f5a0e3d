"""`apothic run`: call one function of a file, and say how it went."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from apothic.cli import payload, ways, wishes
from apothic.cli.byname import is_name, run_by_name
from apothic.cli.calls import Calls
from apothic.cli.keeping import keep_failures
from apothic.cli.load import Target, choose, find_file, load
from apothic.cli.parameters import Signature
from apothic.cli.talk import Talk
from apothic.cli.ways import Ways
from apothic.cli.wishes import Wishes
from apothic.functions import as_declared


def run_target(
    target: str, arguments: list[str], how: Ways | None = None, asked: Wishes | None = None
) -> int:
    """Run it and give the exit code."""
    with Talk(asked or Wishes()) as talk:
        return talk.report(Run(target, arguments, how or Ways(), talk).run)


class Run:
    """One target and its arguments, on their way to an exit code."""

    def __init__(self, target: str, arguments: list[str], how: Ways, talk: Talk) -> None:
        self.target = target
        self.arguments = arguments
        self.how = how
        self.talk = talk
        self.calls = Calls(talk)
        self._wishes = talk.wishes

    def run(self) -> int:
        """Load the file, call what is meant, and tell."""
        path, _, name = self.target.partition("::")
        if "--json" in self.arguments:  # until they are read
            self.talk.wishes = self._wishes.replace(json=True)
        if is_name(self.target):
            return run_by_name(self.target, self.arguments, self.how, self.calls)
        self.talk.prepare(self.how)
        file = find_file(path)
        sys.argv = [path, *self.arguments]
        calls = self.calls
        status, module = calls.guarded(partial(calls.aside, partial(load, file)))
        if status:
            return status
        command = self._command(choose(module, name))
        status = command.main(self.arguments, f"apothic run {self.target}", standalone_mode=False)
        return keep_failures(file, status, self.talk.say)

    def _command(self, target: Target) -> click.Command:
        """A command with the parameters of what it calls, and with options of ours."""
        handle = as_declared(target)
        function = handle.raw() if handle else target
        parameters = Signature(function)
        own = parameters.options()
        others = ways.options_beside(own)
        ours = wishes.beside(own, [*wishes.watching(), *wishes.showing()])

        def callback(**given: Any) -> int:
            said = {str(option.name): given.pop(str(option.name)) for option in ours}
            self.talk.wishes = self._wishes.over(said)
            self.how = ways.take(self.how, given, others)
            self.talk.prepare(self.how)
            args, kwargs = self._arguments(parameters, function, given)
            if handle:
                return self.calls.remotely(handle, args, kwargs)
            return self.calls.here(target, args, kwargs)

        return click.Command(
            self.target,
            params=[*own, *others, *ours],
            callback=callback,
            help=function.__doc__,
            context_settings={"help_option_names": ["-h", "--help"]},
        )

    def _arguments(
        self, parameters: Signature, function: Callable[..., Any], given: dict[str, Any]
    ) -> payload.Arguments:
        if self.how.payload is None:
            return parameters.read(given)
        payload.refuse_beside(given)
        return payload.read(self.how.payload, function)
