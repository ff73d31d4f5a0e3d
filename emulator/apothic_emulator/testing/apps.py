"""Apps in a runtime: their functions are known there, and their schedules run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from apothic_backends.base import Backend
from apothic_backends.commands import (
    Command,
    ListSchedules,
    RegisterFunction,
    StartSchedule,
    StopSchedule,
)
from apothic_backends.model.schedules import CronSchedule, PeriodSchedule, ScheduleSnapshot
from apothic_emulator.testing.runtime import Runtime


class Declared(Protocol):
    """A `Cron` or a `Period`."""

    @property
    def rule(self) -> CronSchedule | PeriodSchedule:
        """The same in the words of the contract."""
        ...


class Handle(Protocol):
    """A function as the SDK declares it."""

    @property
    def options(self) -> Mapping[str, Any]:
        """What it was declared with."""
        ...

    def introduction(self) -> list[Command[Any]]:
        """What makes it known to a backend, in order; the last reply is its id."""
        ...

    def introduction_at(self, backend: Backend) -> list[Command[Any]]:
        """The same, once the files that its image brings are there."""
        ...


class AppLike(Protocol):
    """An app as the SDK declares it."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def functions(self) -> Mapping[str, Any]:
        """Its functions by name."""
        ...


class RunningApp(Mapping[str, Any]):
    """The functions of an app by name, in the runtime where it runs."""

    def __init__(self, runtime: Runtime, app: AppLike) -> None:
        self.name = app.name
        self._runtime = runtime
        self._handles = dict(app.functions)
        self._scheduled: list[str] = []
        for handle in self._handles.values():
            self._start(handle)

    def _start(self, handle: Handle) -> None:
        backend = self._runtime.backend
        schedule: Declared | None = handle.options.get("schedule")
        image = handle.options.get("image")
        brings_files = image is not None and image.brings_files
        if brings_files and schedule is None:
            return  # its first call makes it known
        function_id = ""
        known = handle.introduction_at(backend) if brings_files else handle.introduction()
        for command in known:
            if image is not None and not brings_files and isinstance(command, RegisterFunction):
                command.spec = command.spec.replace(image=image.spec())
            function_id = backend.start(command).wait()
        if schedule is not None:
            backend.start(StartSchedule(function_id, schedule.rule)).wait()
            self._scheduled.append(function_id)

    @property
    def schedules(self) -> dict[str, ScheduleSnapshot]:
        """What is due when, by the name of the function."""
        listed = self._runtime.backend.start(ListSchedules()).wait()
        return {one.function_name: one for one in listed if one.function_id in self._scheduled}

    def stop(self) -> None:
        """Have nothing of it start by itself any more."""
        for function_id in self._scheduled:
            self._runtime.backend.start(StopSchedule(function_id)).wait()
        self._scheduled.clear()

    def __getitem__(self, name: str) -> Any:
        """The function of that name."""
        return self._handles[name]

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._handles)

    def __len__(self) -> int:
        """How many functions it has."""
        return len(self._handles)

    def __repr__(self) -> str:
        """Its name and its functions."""
        return f"<app {self.name}: {', '.join(self._handles)}>"
