"""What there is to be seen at one moment: of this machine's GPUs, and of a control plane."""

from __future__ import annotations

import os

from apothic_backends.base import Backend
from apothic_backends.commands.agents import GetOverview
from apothic_backends.connection import connect
from apothic_backends.model.agents import Overview
from apothic_backends.model.errors import ApothicError
from apothic_backends.model.record import Record
from apothic_backends.registry import shared
from apothic_emulator.agent import gpus
from apothic_emulator.agent.nvml import Inventory
from apothic_emulator.agent.visible import VISIBLE

_OWN = ("", "local", "inline")
"""Backends that live and end with the program that opens them."""

PATIENCE_S = 10.0


class Scene(Record):
    """All of it. Without an `overview` there is no control plane, or `silence` is why."""

    inventory: Inventory
    usable: tuple[str, ...]
    """UUIDs of devices that programs may use here."""
    visible: str
    overview: Overview | None = None
    silence: str = ""


class Observer:
    """Looks again and again."""

    def __init__(self) -> None:
        self._plane: Backend | None = None

    def look(self) -> Scene:
        """What there is now.

        Raises:
            InvalidOption: the GPUs that are to be made up cannot be read.
        """
        inventory = gpus.look()
        usable, _ = gpus.usable(inventory)
        scene = Scene(inventory, tuple(gpu.uuid for gpu in usable), _visible())
        try:
            overview = self._overview()
        except ApothicError as error:
            return scene.replace(silence=f"the control plane does not answer: {error.message}")
        return scene.replace(overview=overview)

    def _overview(self) -> Overview | None:
        if self._plane is None:
            named = os.environ.get("APOTHIC_BACKEND")
            name = named or shared() or ""
            if name in _OWN:
                return None
            self._plane = connect(None if named else name)
        return self._plane.start(GetOverview()).wait(PATIENCE_S)


def _visible() -> str:
    if os.environ.get(gpus.FAKE):
        return f"{gpus.FAKE} makes these devices up"
    wanted = os.environ.get(VISIBLE)
    return f"{VISIBLE} not set" if wanted is None else f"{VISIBLE}={wanted!r}"
