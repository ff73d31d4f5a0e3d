"""The one list of what can be asked of a backend. Each command is typed by its reply.

What programs seldom need lies in modules of its own here, which are loaded when it is named.
"""

from __future__ import annotations

from typing import Any

from apothic_backends.commands.base import Command, ReplyT
from apothic_backends.commands.jobs import (
    CancelJob,
    GetDurability,
    GetJob,
    GetJobInput,
    GetJobLogs,
    HoldJob,
    KeepJob,
    ListSchedules,
    OpenItems,
    ReadEvents,
    ReadItems,
    RegisterFunction,
    ReleaseJob,
    RunJob,
    StartSchedule,
    StopSchedule,
    SubmitJob,
    TellProgress,
    TriggerSchedule,
    WaitJob,
)
from apothic_backends.model.record import records_in

__all__ = [
    "COMMANDS",
    "SELDOM",
    "CancelJob",
    "Command",
    "GetDurability",
    "GetJob",
    "GetJobInput",
    "GetJobLogs",
    "HoldJob",
    "KeepJob",
    "ListSchedules",
    "OpenItems",
    "ReadEvents",
    "ReadItems",
    "RegisterFunction",
    "ReleaseJob",
    "ReplyT",
    "RunJob",
    "StartSchedule",
    "StopSchedule",
    "SubmitJob",
    "TellProgress",
    "TriggerSchedule",
    "WaitJob",
]

COMMANDS: dict[str, type[Command[Any]]] = {
    name: kind
    for name, kind in records_in("apothic_backends.commands.jobs").items()
    if issubclass(kind, Command)
}
"""Those that every program uses, by name."""

SELDOM: tuple[str, ...] = (
    *("agents", "archives", "costs", "deployments", "dicts", "instances", "machines", "queues"),
    *("secrets", "services", "volumes"),
)
"""The modules here, each with one of the same name in `model`, that are loaded when needed."""
