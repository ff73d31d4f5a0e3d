"""The control plane whose jobs outlive this command."""

from __future__ import annotations

import os

from apothic_backends.base import Backend
from apothic_backends.connection import connect
from apothic_backends.model.errors import NoControlPlane

OWN = ("", "local", "inline")
"""Backends that live and end with the program that opens them."""


def control_plane(what: str) -> Backend:
    """The running control plane that the environment names.

    Raises:
        NoControlPlane: it names none.
        NotFound: it names one that is not installed.
    """
    name = os.environ.get("APOTHIC_BACKEND", "")
    if name in OWN:
        raise NoControlPlane(
            f"no control plane runs that could be asked for {what}: jobs of the {name or 'local'} "
            "backend live in the program that started them. Watch them there, with job.watch() or "
            "`apothic run path.py::name --watch`, or set APOTHIC_BACKEND to a backend that "
            "programs share",
            asked_for=what,
        )
    return connect()
