"""`apothic gpu` and `apothic top`, as the command line finds them."""

from __future__ import annotations

from typing import Any

import click

_JSON = click.option("--json", "as_json", is_flag=True, help="One line of JSON.")


@click.group(short_help="Look at the GPUs of this machine.")
def gpu() -> None:
    """Look at the GPUs of this machine, at who has them, and why there are none.

    \b
    apothic gpu list
    apothic gpu top           the same, again and again
    """  # noqa: D301 - click reads \b as "do not wrap this paragraph"


@gpu.command("list", short_help="Show each device, and each slice of one.")
@_JSON
@click.pass_obj
def list_(asked: Any, *, as_json: bool) -> None:
    """Show each GPU of this machine: its memory, how busy it is, and who uses it.

    Slices (MIG) stand below what they are of. Jobs are named where a control plane can be asked:
    the `apothic dev` of this project, or an `apothic serve`. Memory is in GB of 10**9 bytes.
    """
    from apothic_emulator.top.show import show_gpus  # noqa: PLC0415 - so that --help starts fast

    show_gpus(as_json=as_json or asked.is_json())


@gpu.command("top", short_help="Watch the GPUs.")
@_JSON
@click.pass_obj
def gpu_top(asked: Any, *, as_json: bool) -> None:
    """Show the GPUs of this machine every 2 seconds; q quits. Once where it is no terminal."""
    from apothic_emulator.top.show import show_top  # noqa: PLC0415 - as above

    show_top(asked, as_json=as_json or asked.is_json(), only_gpus=True)


@click.command(short_help="Watch jobs, workers, GPUs and queues.")
@_JSON
@click.pass_obj
def top(asked: Any, *, as_json: bool) -> None:
    """Show what runs and what waits, every 2 seconds; q quits. Once where it is no terminal.

    That is what the control plane has that programs share: the `apothic dev` of this project, an
    `apothic serve`, or what APOTHIC_BACKEND names; and the GPUs of this machine.
    """
    from apothic_emulator.top.show import show_top  # noqa: PLC0415 - as above

    show_top(asked, as_json=as_json or asked.is_json())
