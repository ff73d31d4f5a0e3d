"""The commands and their help; each imports what it does when it is run."""

from __future__ import annotations

import sys

import click

from apothic import __version__

RAW = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""Options behind the target are the target's own."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="apothic", message="%(prog)s %(version)s")
def program() -> None:
    """Run functions in worker processes of this machine.

    \b
    apothic run report.py                   the one entrypoint of a file
    apothic run report.py::summarize --text hello
    apothic run report.py::summarize --help
    apothic trigger report.py::nightly      a scheduled function, now
    apothic replay jobs:3 --pdb             what failed, with the same input

    Exit codes: 0 done, 1 your code raised, 2 usage, 4 not found, 6 no capacity, 7 timeout,
    70 a bug in apothic, 130 interrupted.
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"


@program.command(context_settings=RAW, short_help="Call one function of a file.")
@click.option("--inline", is_flag=True, help="Run calls in this process, without workers.")
@click.option("--pdb", is_flag=True, help="--inline, with a debugger where a call raises.")
@click.option("--payload", metavar="JSON|@FILE|-", help='{"args": [...], "kwargs": {...}}.')
@click.argument("target")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(
    target: str, arguments: tuple[str, ...], *, inline: bool, pdb: bool, payload: str | None
) -> None:
    """Call TARGET, which is path.py or path.py::name, with ARGUMENTS.

    A local entrypoint runs in this process. A function runs in a worker: its result goes to
    stdout, what it printed to stderr. Parameters are options (--text hello) or stand by place;
    what is neither a plain value nor a list of them is given as JSON.
    """
    from apothic.cli.run import run_target  # noqa: PLC0415 - so that --help starts fast
    from apothic.cli.ways import Ways  # noqa: PLC0415 - as above

    sys.exit(run_target(target, list(arguments), Ways(inline, pdb, payload)))


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
def trigger(target: str, at: str | None, times: int) -> None:
    """Run TARGET, a function with a schedule, once and now; then say when it runs by itself.

    TARGET is path.py, if there is one function in it, or path.py::name. The result goes to stdout,
    everything else to stderr.
    """
    from apothic.cli.trigger import trigger_target  # noqa: PLC0415 - so that --help starts fast

    sys.exit(trigger_target(target, at, times))


@program.command(short_help="Call again what failed, with the same input.")
@click.option("--inline", is_flag=True, help="Run calls in this process, without workers.")
@click.option("--pdb", is_flag=True, help="--inline, with a debugger where a call raises.")
@click.argument("job")
def replay(job: str, *, inline: bool, pdb: bool) -> None:
    """Call again what JOB called, with what it was given: jobs:3, or @failed for the latest.

    `apothic run` keeps the input of jobs that fail in .apothic/replay, if it is small. Ids begin
    anew with each run: it is the job of the latest run in which one of this id failed.
    """
    from apothic.cli.replay import replay as again  # noqa: PLC0415 - so that --help starts fast
    from apothic.cli.ways import Ways  # noqa: PLC0415 - as above

    sys.exit(again(job, Ways(inline, pdb)))
