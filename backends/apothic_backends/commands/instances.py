"""Instances of classes: making them, looking at them, and ending them.

Their methods are called as functions are, by `SubmitJob`, `RunJob` and `OpenItems`, with the
instance's id in place of a function's.
"""

from __future__ import annotations

from apothic_backends.commands.base import Command
from apothic_backends.model.instances import InstanceSnapshot
from apothic_backends.model.payloads import EMPTY_CALL, Payload


class OpenInstance(Command[str]):
    """An instance of a class, made if there is none; the reply is its id (`instances:7`).

    `function_id` is the class, as it was registered or by its name. `arguments` are those of its
    constructor, and `key` stands for them: the same ones have the same key. It is empty if some are
    missing. Without a `name` it is one of those that all who give these arguments share. One with a
    name that there is has to have that key, unless it may be `whichever` there is. What is made
    gets the `tags`.
    """

    adds = True

    function_id: str
    arguments: Payload = EMPTY_CALL
    key: str = ""
    name: str | None = None
    whichever: bool = False
    tags: tuple[tuple[str, str], ...] = ()


class GetInstance(Command[InstanceSnapshot]):
    """Look at an instance, by its id or as `app/class/name`."""

    instance: str


class ListInstances(Command[tuple[InstanceSnapshot, ...]]):
    """Look at all instances, or at those of an app or of a class of it."""

    app_name: str | None = None
    class_name: str | None = None


class StopInstance(Command[InstanceSnapshot]):
    """End an instance, which is named as for `GetInstance`; its name is free at once.

    What it works on is finished, then its exit hooks run; calls that wait are refused. The reply
    comes when all that is over, if it is to `wait`, and after `timeout_s` at the latest.
    """

    instance: str
    wait: bool = False
    timeout_s: float = 600.0


class RestartInstance(Command[InstanceSnapshot]):
    """Have an instance made again, with the arguments that it had: it is not dead any more.

    What it works on is finished before, and calls that wait are refused.
    """

    instance: str
