"""The control plane whose jobs outlive this command."""

from __future__ import annotations

import os

from apothic_backends.base import Backend
from apothic_backends.connection import connect
from apothic_backends.model.errors import NoControlPlane
from apothic_backends.registry import shared

OWN = ("", "local", "inline")
"""Backends that live and end with the program that opens them."""


def control_plane(what: str) -> Backend:
    """The control plane that runs beside programs: the one that `APOTHIC_BACKEND` names.

    Else the `apothic dev` of this project, the one that `apothic auth use` has chosen, the server
    that runs on this machine.

    Raises:
        NoControlPlane: there is none of these.
        NotFound: the environment names one that is not installed.
    """
    named = os.environ.get("APOTHIC_BACKEND")
    name = named or shared() or ""
    if name in OWN:
        raise NoControlPlane(
            f"no control plane runs that could be asked for {what}. Start `apothic dev app.py` "
            "in this project or `apothic serve` on this machine, or name one with "
            "APOTHIC_BACKEND=https://... or `apothic auth login URL`. What runs on the "
            f"{name or 'local'} backend ends with its program; watch it there, with job.watch() or "
            "`apothic run path.py::name --watch`",
            asked_for=what,
        )
    return connect(None if named else name)
