"""The commands and their help; each imports what it does when it is run."""

from __future__ import annotations

import sys
from typing import Any

import click

from apothic import __version__
from apothic.cli.app import app
from apothic.cli.auth import auth
from apothic.cli.check import check
from apothic.cli.cloud.commands import cloud
from apothic.cli.cost import cost
from apothic.cli.deployment import deploy, deployment
from apothic.cli.image import image
from apothic.cli.job import job
from apothic.cli.liv import liv
from apothic.cli.offer import offer
from apothic.cli.offered import Program
from apothic.cli.package import package
from apothic.cli.plan import plan
from apothic.cli.sandbox import sandbox, shell
from apothic.cli.secret import secret
from apothic.cli.state import state
from apothic.cli.volume import volume
from apothic.cli.wishes import Wishes, everywhere, showing, watching, with_options
from apothic_backends.model.errors import UsageError

RAW = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""Options behind the target are the target's own."""


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="apothic", message="%(prog)s %(version)s")
@with_options(everywhere)
@click.pass_context
def program(context: click.Context, **given: Any) -> None:
    """Run functions, here or elsewhere: apothic run report.py::summarize. Every command takes
    --json, -q, -v, --plain and --color. Exit codes: 0 done, 1 your code raised, 2 usage, 3 key
    refused, 4 not found, 5 conflict, 6 no capacity, 7 timeout, 8 busy, 9 memory, 70 a bug, 130
    interrupted.
    """  # noqa: D205 - a line more than a window has, otherwise
    context.obj = Wishes().over(given)
    try:
        context.obj.is_json()
    except UsageError as error:
        raise click.UsageError(error.message) from None


@program.command(context_settings=RAW, short_help="Call one function of a file.")
@click.option("--inline", is_flag=True, help="Run calls in this process, without workers.")
@click.option("--pdb", is_flag=True, help="--inline, with a debugger at what raises.")
@click.option("--payload", metavar="JSON|@FILE|-", help='{"args": [...], "kwargs": {...}}.')
@click.option(
    "--on-missing-gpu",
    metavar="WAY",
    type=click.Choice(["error", "cpu", "fake"]),
    help="error, cpu (run without) or fake (made up).",
)
@with_options(watching, showing)
@click.argument("target")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def run(
    asked: Wishes,
    target: str,
    arguments: tuple[str, ...],
    *,
    inline: bool,
    pdb: bool,
    payload: str | None,
    on_missing_gpu: str | None,
    **given: Any,
) -> None:
    """Call TARGET: path.py or path.py::name.

    \b
    apothic run report.py::summarize --text hello
    apothic run report.py::summarize --text hello --watch
    apothic run --json report.py::summarize hello | jq .result

    A local entrypoint runs in this process, a function in a worker: its result goes to stdout, what
    it prints to stderr. ARGUMENTS may be JSON.
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"
    from apothic.cli.run import run_target  # noqa: PLC0415 - so that --help starts fast
    from apothic.cli.ways import Ways  # noqa: PLC0415 - as above

    how = Ways(inline, pdb, payload, on_missing_gpu)
    sys.exit(run_target(target, list(arguments), how, asked.over(given)))


@program.command(short_help="Run a scheduled function now.")
@click.argument("target")
@click.option("--at", metavar="TIME", help="Run it as the run of that time: 2026-11-22T03:00.")
@click.option(
    "--times",
    type=click.IntRange(0, 1000),
    default=5,
    show_default=True,
    help="How many of its next times to show.",
)
@with_options(showing)
@click.pass_obj
def trigger(asked: Wishes, target: str, at: str | None, times: int, **given: Any) -> None:
    """Run TARGET, a function with a schedule, once and now; then say when it runs by itself.

    TARGET is path.py, if there is one function in it, or path.py::name. The result goes to stdout,
    everything else to stderr.
    """
    from apothic.cli.trigger import trigger_target  # noqa: PLC0415 - so that --help starts fast

    sys.exit(trigger_target(target, at, times, asked.over(given)))


@program.command(short_help="Call again what failed, with the same input.")
@click.option("--inline", is_flag=True, help="Run calls in this process, without workers.")
@click.option("--pdb", is_flag=True, help="--inline, with a debugger at what raises.")
@with_options(showing)
@click.argument("job_id", metavar="JOB")
@click.pass_obj
def replay(asked: Wishes, job_id: str, *, inline: bool, pdb: bool, **given: Any) -> None:
    """Call again what JOB called, with what it was given: jobs:3, or @failed for the latest.

    `apothic run` keeps the input of jobs that fail in .apothic/replay, if it is small. Ids begin
    anew with each run: it is the job of the latest run in which one of this id failed.
    """
    from apothic.cli.replay import replay as again  # noqa: PLC0415 - so that --help starts fast
    from apothic.cli.ways import Ways  # noqa: PLC0415 - as above

    sys.exit(again(job_id, Ways(inline, pdb), asked.over(given)))


program.add_command(app)
program.add_command(auth)
program.add_command(check)
program.add_command(cloud)
program.add_command(cost)
program.add_command(deploy)
program.add_command(deployment)
program.add_command(image)
program.add_command(job)
program.add_command(liv)
program.add_command(offer)
program.add_command(package)
program.add_command(plan)
program.add_command(sandbox)
program.add_command(secret)
program.add_command(shell)
program.add_command(state)
program.add_command(volume)
