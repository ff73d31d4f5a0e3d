"""Looks after GPUs for as long as executors have them.

A thread asks the driver every few seconds while some executor has a device, and less often while
one is in trouble: what is lost, or back, is told, and whose memory runs short. When an executor
that has one ends otherwise than it should, the driver is asked at once, and the end is told after
that: so it is known whether its device was lost, and nobody else gets that. A driver that does not
answer in time holds no end up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from apothic_emulator.agent import gpus
from apothic_emulator.agent.nvml import Device, Inventory
from apothic_emulator.core.effects import StartExecutor
from apothic_emulator.core.facts import Ended, Printed
from apothic_emulator.core.hellos import Gpu

EVERY_S = 3.0
"""Between two looks while an executor has a device."""

RARELY_S = 15.0
"""The same while nobody has one, and one is in trouble."""

PATIENCE_S = 5.0
"""How long a driver may take before an end is told without what it says."""

FULL = 0.9
"""The part of a device's memory above which whoever has it is warned."""

_MIB, _GB = 1 << 20, 10**9


class GpuWatch:
    """The devices of one machine. `changed` is told what there is when that is something else.

    Of an agent, which gives what it has named, only those that it had at first count (`only`).
    """

    def __init__(
        self,
        known: tuple[Gpu, ...],
        changed: Callable[[tuple[Gpu, ...], str], object],
        post: Callable[[Any], object],
        *,
        only: bool = False,
    ) -> None:
        self.known = known
        self._only = {gpu.uuid for gpu in known} if only else None
        self._changed, self._post = changed, post
        self._held: dict[int, _Held] = {}
        self._ends: dict[int, tuple[Ended, threading.Timer]] = {}
        self._is_asked = self._is_closed = False
        self._turn = threading.Condition()
        self._thread: threading.Thread | None = None

    def took(self, effect: StartExecutor) -> None:
        """An executor gets its devices."""
        with self._turn:
            self._held[effect.executor] = _Held(effect)
            self._ask()

    def ended(self, end: Ended) -> bool:
        """An executor has ended; whether that is told from here, in a moment."""
        with self._turn:
            is_in_order = end.reason == "start" or (end.reason == "exit" and not end.exit_code)
            if self._held.pop(end.executor, None) is None or is_in_order:
                return False
            timer = threading.Timer(PATIENCE_S, self._tell_end, (end.executor,))
            timer.daemon = True
            self._ends[end.executor] = end, timer
            timer.start()
            self._ask()
        return True

    def close(self) -> None:
        """Look no more."""
        with self._turn:
            self._is_closed = True
            self._turn.notify()

    def _ask(self) -> None:
        self._is_asked = True
        self._turn.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="apothic-gpus", daemon=True)
            self._thread.start()

    # --- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._turn:
                self._turn.wait_for(lambda: self._is_asked or self._is_closed, self._patience_s())
                if self._is_closed:
                    return
                self._is_asked = False
                ends, held = list(self._ends), dict(self._held)
            self._look(held)
            for executor in ends:
                self._tell_end(executor)

    def _patience_s(self) -> float | None:
        if self._held:
            return EVERY_S
        return RARELY_S if any(gpu.trouble for gpu in self.known) else None

    def _look(self, held: Mapping[int, _Held]) -> None:
        inventory = gpus.look()
        self._compare(inventory)
        devices = {device.gpu.uuid: device for device in inventory.devices}
        for one in held.values():
            for uuid in one.effect.gpus:
                device = devices.get(uuid)
                told = "" if device is None else one.warning(device)
                if told:
                    self._post(Printed(one.effect.executor, 0, "stderr", f"apothic: {told}\n"))

    def _compare(self, inventory: Inventory) -> None:
        found, reason = gpus.usable(inventory)
        if self._only is not None:
            found = tuple(gpu for gpu in found if gpu.uuid in self._only)
        now = gpus.merged(self.known, found, inventory)
        if now != self.known:
            self.known = now
            self._changed(now, reason)

    def _tell_end(self, executor: int) -> None:
        with self._turn:
            end, timer = self._ends.pop(executor, (None, None))
        if end is not None and timer is not None:
            timer.cancel()
            self._post(end)


class _Held:
    """An executor's devices, and of what it has been warned."""

    def __init__(self, effect: StartExecutor) -> None:
        self.effect = effect
        self._seen: set[str] = set()
        self._full: set[str] = set()

    def warning(self, device: Device) -> str:
        """What is to be said of the memory of one: once when it is new, once when it is full."""
        spec, gpu, used_mb = self.effect.spec, device.gpu, device.used_mb
        if used_mb is None or not gpu.memory_mb:
            return ""
        is_new = gpu.uuid not in self._seen
        self._seen.add(gpu.uuid)
        free_gb = (gpu.memory_mb - used_mb) * _MIB / _GB
        if is_new and free_gb < spec.min_vram_gb:
            told = f"has {free_gb:.1f} GB free, and min_vram_gb={spec.min_vram_gb} of {spec.name!r}"
        elif used_mb > FULL * gpu.memory_mb and gpu.uuid not in self._full:
            self._full.add(gpu.uuid)
            told = f"is {used_mb * 100 // gpu.memory_mb} % full"
        else:
            return ""
        users = ", ".join(f"{it.name} ({it.pid}): {it.used_mb} MiB" for it in device.processes)
        return f"{gpu.name} ({gpu.uuid}) {told}; used by {users or device.hidden or 'nobody known'}"
