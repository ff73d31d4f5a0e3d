"""Shows what is seen: once, as JSON, or again and again on a terminal."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, cast

import click

from apothic_backends.model.record import Record
from apothic_emulator.top.scene import Observer, Scene
from apothic_emulator.top.tables import Table, gpu_table, lines_of, said, tables

GPUS, TOP = "apothic.gpus.v1", "apothic.top.v1"


def show_gpus(*, as_json: bool) -> None:
    """Print the GPUs of this machine."""
    scene = Observer().look()
    _print(scene, [gpu_table(scene)], only_gpus=True, as_json=as_json)


def show_top(asked: Any, *, as_json: bool, only_gpus: bool = False) -> None:
    """Show all, or the GPUs, until somebody presses q; once where nobody can."""
    observer = Observer()
    if as_json or not _is_live(asked):
        scene = observer.look()
        shown = [gpu_table(scene)] if only_gpus else tables(scene)
        _print(scene, shown, only_gpus=only_gpus, as_json=as_json)
        return
    from apothic_emulator.top.live import watch  # rich costs 50 ms  # noqa: PLC0415

    watch(observer, lambda scene: [gpu_table(scene)] if only_gpus else tables(scene), asked.look())


def _is_live(asked: Any) -> bool:
    """Whether there is a terminal on which a picture may change, and somebody who can press q."""
    return bool(asked.look().is_live) and sys.stdout.isatty() and os.isatty(sys.stdin.fileno())


def _print(scene: Scene, shown: list[Table], *, only_gpus: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_document(scene, only_gpus=only_gpus)))
        return
    for i, table in enumerate(shown):
        if i:
            click.echo()
        if not only_gpus:
            click.echo(table.title)
        for line in lines_of(table):
            click.echo(line)
    silence = scene.silence if only_gpus else said(scene)
    if silence:
        click.echo(silence, err=True)


def _document(scene: Scene, *, only_gpus: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "schema": GPUS if only_gpus else TOP,
        "devices": _plain(scene.inventory.devices),
        "reason": scene.inventory.reason,
        "usable": list(scene.usable),
        "visible": scene.visible,
    }
    if not only_gpus:
        told |= {"overview": _plain(scene.overview), "silence": said(scene)}
    return told


def _plain(value: Any) -> Any:
    """Records as dictionaries."""
    if isinstance(value, Record):
        return {field: _plain(getattr(value, field)) for field in value.fields}
    if isinstance(value, tuple):
        return [_plain(it) for it in cast("tuple[Any, ...]", value)]
    return value
