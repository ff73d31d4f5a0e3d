"""`apothic run`: call one function of a file, and say how it went."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from inspect import iscoroutinefunction
from typing import Any

import click

from apothic.cli import payload, ways
from apothic.cli.failures import ExitCode, code_of, explain
from apothic.cli.keeping import keep_failures
from apothic.cli.load import Target, choose, find_file, load
from apothic.cli.parameters import Signature
from apothic.cli.ways import Ways
from apothic.functions import Declared, as_declared
from apothic.jobs import Job
from apothic_backends.model.errors import NotFound, UsageError


def run_target(target: str, arguments: list[str], how: Ways | None = None) -> int:
    """Run it and give the exit code."""
    return reported(partial(_run, target, arguments, how or Ways()))


def _run(target: str, arguments: list[str], how: Ways) -> int:
    path, _, name = target.partition("::")
    ways.prepare(how)
    file = find_file(path)
    sys.argv = [path, *arguments]
    status, module = guarded(partial(load, file))
    if status:
        return status
    found = choose(module, name)
    status = _command(found, target, how).main(
        arguments, f"apothic run {target}", standalone_mode=False
    )
    return keep_failures(file, status)


def reported(command: Callable[[], int]) -> int:
    """Carry out a command of ours and tell what went wrong with it: its exit code."""
    try:
        return command()
    except (NotFound, UsageError) as error:
        click.echo(f"error: {error.message}", err=True)
        return code_of(error)
    except click.exceptions.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Abort:  # what click makes of Ctrl-C
        raise KeyboardInterrupt from None
    except Exception:  # noqa: BLE001 - not the user's doing, whatever it is
        import traceback  # noqa: PLC0415 - for the one case that should not be

        traceback.print_exc()
        click.echo("error: this is a bug in apothic; please report it with the above", err=True)
        return ExitCode.BUG


def _command(target: Target, name: str, how: Ways) -> click.Command:
    """A command with the parameters of what it calls."""
    handle = as_declared(target)
    function = handle.raw() if handle else target
    parameters = Signature(function)
    own = parameters.options()
    beside = ways.options_beside(own)

    def callback(**given: Any) -> int:
        chosen = ways.take(how, given, beside)
        ways.prepare(chosen)
        if chosen.payload is None:
            args, kwargs = parameters.read(given)
        else:
            payload.refuse_beside(given)
            args, kwargs = payload.read(chosen.payload, function)
        if handle:
            return call_remotely(handle, args, kwargs)
        return guarded(partial(_call_here, target, args, kwargs))[0]

    return click.Command(
        name,
        params=[*own, *beside],
        callback=callback,
        help=function.__doc__,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _call_here(function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> None:
    if iscoroutinefunction(function):
        import asyncio  # costs an interpreter start  # noqa: PLC0415

        asyncio.run(function(*args, **kwargs))
    else:
        function(*args, **kwargs)


def call_remotely(function: Declared[..., Any], args: list[Any], kwargs: dict[str, Any]) -> int:
    """Call it in a worker: what it gives to stdout, what it printed to stderr."""
    if function.is_generator:
        return guarded(partial(_take_items, function, args, kwargs))[0]
    return _call_for_result(function, args, kwargs)


def _call_for_result(function: Declared[..., Any], args: list[Any], kwargs: dict[str, Any]) -> int:
    """Call it in a worker: its result to stdout, what it printed to stderr."""
    status, job = guarded(partial(function.spawn, *args, **kwargs))
    if job is None:
        return status
    status, result = guarded(partial(_wait, job))
    _show_logs(job)
    if not status and result is not None:
        click.echo(shown(result))
    return status


def _take_items(function: Declared[..., Any], args: list[Any], kwargs: dict[str, Any]) -> None:
    """Call a generator in a worker: its items to stdout as they come, what it printed to stderr."""
    items = function.with_options(wait_timeout_s=None).remote_gen(*args, **kwargs)
    try:
        for item in items:
            click.echo(shown(item))
    finally:
        if items.job_id is not None:
            _show_logs(Job.from_id(items.job_id))


def _show_logs(job: Job[Any]) -> None:
    """What a job printed, unless it was seen already."""
    if not ways.is_inline():
        click.echo(job.logs(), nl=False, err=True)


def _wait(job: Any) -> Any:
    try:
        return job.wait()
    except KeyboardInterrupt:
        job.cancel()
        raise


def guarded(call: Callable[[], Any]) -> tuple[int, Any]:
    """Run the user's code: an exit code with its trouble told on stderr, and what it gave."""
    try:
        return ExitCode.DONE, call()
    except SystemExit as error:
        if isinstance(error.code, str):
            click.echo(error.code, err=True)
        return (error.code if isinstance(error.code, int) else bool(error.code)), None
    except BaseException as error:  # noqa: BLE001 - its code may raise anything
        click.echo(explain(error), err=True)
        return code_of(error), None


def shown(value: object) -> str:
    """A result for people and pipes: a string as it is, JSON where it can be, else its repr."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return repr(value)
