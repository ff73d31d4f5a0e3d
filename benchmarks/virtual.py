"""Days in virtual time: of the core alone, and of a whole runtime."""

from __future__ import annotations

import time
from typing import Any

DAY_S = 86_400.0


def core_day(count: int) -> float:
    """Seconds for a day of the core, with `count` functions that run once in it, each at its time.

    Every job is taken to an executor and reported at once; there are no processes.
    """
    from apothic_backends.calendars import Calendar  # noqa: PLC0415 - only apothic has these
    from apothic_backends.commands import RegisterFunction, StartSchedule  # noqa: PLC0415
    from apothic_backends.model.functions import FunctionSpec  # noqa: PLC0415
    from apothic_backends.model.payloads import Payload  # noqa: PLC0415
    from apothic_backends.model.schedules import PeriodSchedule  # noqa: PLC0415
    from apothic_emulator.core.facts import Asked, Tick  # noqa: PLC0415
    from apothic_emulator.core.plane import Plane  # noqa: PLC0415

    plane = Plane("bench", idle_s=float("inf"), calendar=Calendar())
    for i in range(1, count + 1):
        spec = FunctionSpec("bench", f"f{i}")
        plane.step([Asked(RegisterFunction(spec, Payload(b"")), i)], 0.0)
        schedule = PeriodSchedule(seconds=DAY_S / 2 * (1 + i / count))
        plane.step([Asked(StartSchedule(f"functions:{i}", schedule), -i)], 0.0)
    before = time.perf_counter()
    fired = 0
    while plane.alarm <= DAY_S:
        now = plane.alarm
        fired += _work(plane, plane.step([Tick()], now).effects, now)
    taken = time.perf_counter() - before
    if fired != count:
        raise ValueError(f"{fired} runs of {count}")
    return taken


def _work(plane: Any, effects: list[Any], now: float) -> int:
    """Report every job that was dispatched."""
    from apothic_backends.model.payloads import Payload  # noqa: PLC0415 - as above
    from apothic_emulator.core.effects import Dispatch  # noqa: PLC0415
    from apothic_emulator.core.facts import Loaded, Reported  # noqa: PLC0415

    sent = [effect for effect in effects if isinstance(effect, Dispatch)]
    for job in sent:
        done = Reported(job.executor, job.job, job.attempt, Payload(b""))
        plane.step([Loaded(job.executor), done], now)
    return len(sent)
