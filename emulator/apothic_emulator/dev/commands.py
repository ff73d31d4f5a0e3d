"""`apothic dev`, as the command line finds it."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from apothic_emulator.agent.missing import ON_MISSING, WAYS
from apothic_emulator.server.commands import NEEDED


@click.command(short_help="Run an app here, and deploy it whenever it is saved.")
@click.argument("target")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=None,
    help="Of the control plane; by default 7600, or the next that is free.",
)
@click.option(
    "--trigger",
    type=click.Choice(["save", "manual"]),
    default="save",
    show_default=True,
    help="What deploys: saving a file, or the key r.",
)
@click.option(
    "--on-missing-gpu",
    type=click.Choice(WAYS),
    default=None,
    help="Where this machine lacks the GPUs: run without (cpu), refuse, or make devices up.  "
    "[default: cpu]",
)
@click.option("--json", "as_json", is_flag=True, help="What happens as lines of JSON, on stdout.")
@click.pass_obj
def dev(
    asked: Any,
    target: str,
    port: int | None,
    trigger: str,
    on_missing_gpu: str | None,
    *,
    as_json: bool,
) -> None:
    """Run the app of TARGET, path.py or path.py::app, and deploy it whenever a file is saved.

    \b
    apothic dev app.py
    apothic run greet --app-name demo --payload '{"args": ["Ada"]}'     in another terminal

    It is a control plane of its own, for those who work in this project: .apothic/dev.json says
    where. Services keep their addresses, and jobs that run end in the code that they began in.
    While a version cannot be loaded, the one before goes on. What queues, dicts and jobs keep lies
    in .apothic/state, and is there the next time.
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"
    _check(target)
    os.environ[ON_MISSING] = on_missing_gpu or os.environ.get(ON_MISSING) or "cpu"
    from apothic_emulator.dev.lines import Lines  # noqa: PLC0415 - so that --help starts fast
    from apothic_emulator.dev.process import Wanted, run  # noqa: PLC0415

    is_json = as_json or asked.is_json()
    look = asked.look()
    lines = Lines(_say, _tell if is_json else None, has_color=look.is_colored)
    wanted = Wanted(target, port, trigger == "manual", not is_json and os.isatty(0))
    run(wanted, lines)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _tell(text: str) -> None:
    click.echo(text)
    sys.stdout.flush()


def _check(target: str) -> None:
    missing = [name for name in (*NEEDED, "watchfiles") if find_spec(name) is None]
    if missing:
        raise click.UsageError(
            f"`apothic dev` needs {', '.join(missing)}: pip install 'apothic[dev]'"
        )
    path = target.partition("::")[0]
    if not Path(path).is_file():
        raise click.UsageError(f"there is no file {path!r}; give path.py or path.py::app")
