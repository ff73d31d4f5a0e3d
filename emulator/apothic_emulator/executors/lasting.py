"""The volumes and buckets of a service: there before it is loaded, for as long as its process.

    shown ──► loaded ──► serves ──save──► serves ──save──► ... ──► its application ends ──save──►

A save commits what has been written so far, also of files that are open. Nobody waits for it who
could hear of a conflict, so of two processes that have changed one file the later counts. What
a process has written that never was ready is thrown away.
"""

from __future__ import annotations

import sys
import threading

from apothic_emulator.executors.volumes import AnyShown, Volumes

SAVE_S = 10.0
"""How often is saved what was written."""


class Lasting:
    """What one process sees, and saves."""

    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes
        self._is_over = threading.Event()
        self._saver = threading.Thread(target=self._save_on, name="apothic-volumes", daemon=True)
        volumes.__enter__()

    def begin(self) -> None:
        """It is ready: what it has written counts from now on."""
        self._saver.start()

    def end(self) -> None:
        """Its application has ended: save the last of it."""
        self._is_over.set()
        self._saver.join()
        self._save()

    def _save_on(self) -> None:
        while not self._is_over.wait(SAVE_S):
            self._save()

    def _save(self) -> None:
        for one in self._volumes.shown:
            _save(one)


def _save(shown: AnyShown) -> None:
    try:
        shown.save()
    except Exception as error:  # noqa: BLE001 - it is told where a service tells things
        sys.stderr.write(f"what was written to {shown.name} could not be saved: {error}\n")
