"""`apothic agent list`: the machines of a control plane, and what is taken of each."""

from __future__ import annotations

import json
import os

import click

from apothic_backends.commands.agents import ListAgents
from apothic_backends.connection import connect
from apothic_backends.model.agents import AgentSnapshot, GpuSnapshot
from apothic_backends.model.errors import NoControlPlane

_OWN = ("", "local", "inline")
"""Backends that live and end with the program that opens them."""


def show(*, as_json: bool) -> None:
    """Print them.

    Raises:
        NoControlPlane: the environment names none that agents could have joined.
    """
    if os.environ.get("APOTHIC_BACKEND", "") in _OWN:
        raise NoControlPlane(
            "agents join a control plane that programs share: set APOTHIC_BACKEND to the address "
            "of an `apothic serve`"
        )
    agents = connect().start(ListAgents()).wait()
    if as_json:
        click.echo(
            json.dumps({"schema": "apothic.agents.v1", "agents": [_told(it) for it in agents]})
        )
        return
    for line in lines_of(agents):
        click.echo(line)


def _told(agent: AgentSnapshot) -> dict[str, object]:
    told = {field: getattr(agent, field) for field in agent.fields}
    told["gpus"] = [{field: getattr(gpu, field) for field in gpu.fields} for gpu in agent.gpus]
    return told


def lines_of(agents: tuple[AgentSnapshot, ...]) -> list[str]:
    """A table: a row for each agent, and below it one for each of its GPUs."""
    rows = [("AGENT", "STATUS", "CORES", "MEMORY MB", "EXECUTORS")]
    for it in agents:
        cores = f"{it.cpu_taken:g} of {it.cpu:g}"
        memory = f"{it.memory_taken_mb:g} of {it.memory_mb}"
        rows.append((it.name, it.status, cores, memory, str(it.executors)))
        rows += [_row(gpu) for gpu in it.gpus]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ("  ".join(map(str.ljust, row, widths)) for row in rows)
    return [line.rstrip() for line in padded]


def _row(gpu: GpuSnapshot) -> tuple[str, str, str, str, str]:
    return f"  {gpu.name}", gpu.taken_by or "free", gpu.uuid[:12], str(gpu.memory_mb), ""
