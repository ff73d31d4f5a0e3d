"""Volumes of calls that run in the user's own process: copies, and symbolic links to them.

Several functions may have one volume at the same path, and share it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from apothic_backends.model.errors import ApothicError, MountFailed
from apothic_backends.model.functions import FunctionSpec, MountSpec
from apothic_backends.model.jobs import ErrorInfo
from apothic_emulator.executors import volumes
from apothic_emulator.executors.shown import Linked

_lock = threading.Lock()
_open: dict[str, tuple[MountSpec, Any, list[Shelf]]] = {}
"""What is at each path, and for whom."""


class Shelf:
    """The volumes of one executor."""

    def __init__(self, spec: FunctionSpec, purse: Any = None) -> None:
        self._spec = spec
        self._purse = purse
        self._volumes = volumes.Volumes([])

    def fill(self) -> ErrorInfo | None:
        """Have them at their paths; why that cannot be."""
        try:
            with _lock:
                self._volumes.shown = [self._take(spec) for spec in self._spec.mounts]
        except ApothicError as error:
            self.close()
            return ErrorInfo(error.code, error.message, data=error.data)
        return None

    def _take(self, spec: MountSpec) -> Any:
        known = _open.get(spec.path)
        if known is None:
            volumes.check_place(spec.path, os.getcwd())  # noqa: PTH109 - compared as text
            view = volumes.view_of(spec, {} if self._purse is None else self._purse.keys)
            try:
                shown = volumes.show(spec, Linked(view, spec.path))
            except BaseException:
                view.close()
                raise
            known = _open[spec.path] = (spec, shown, [])
        elif known[0].replace(create=spec.create) != spec:
            raise MountFailed(
                f"{spec.path} is taken by volume {known[0].name}, or by {spec.name} under other "
                "options: inline, all functions see the same files",
                path=spec.path,
            )
        if self not in known[2]:
            known[2].append(self)
        return known[1]

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, each call of which sees them and commits what it has written."""
        return self._volumes.around(
            function, is_async=self._spec.is_async, is_generator=self._spec.is_generator
        )

    def close(self) -> None:
        """Take away what nobody else has."""
        with _lock:
            for path, (_, shown, shelves) in list(_open.items()):
                if self in shelves:
                    shelves.remove(self)
                    if not shelves:
                        del _open[path]
                        volumes.close(shown)
