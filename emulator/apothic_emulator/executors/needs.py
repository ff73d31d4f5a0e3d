"""What some functions need before they are loaded: their files, secrets, volumes at their paths."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from apothic_emulator.executors.control import Control
from apothic_emulator.executors.wire import Buffer

Function = Callable[..., Any]


class Executor(Protocol):
    """Who needs them."""

    control: Control
    is_async: bool
    window: tuple[int, int] | None
    around: Callable[[Function], Function]
    place: Any
    lasting: Any
    secrets: Any
    note: Callable[[BaseException], object]


def meet(executor: Executor, spec: dict[str, Any]) -> Buffer | None:
    """Get what the function needs; what to report if it cannot be had.

    Raises:
        EOFError: the host hung up.
    """
    if spec["waits_for_secrets"]:  # first, because they come without being asked for
        from apothic_emulator.executors import secrets  # few functions have some  # noqa: PLC0415

        try:
            executor.secrets = secrets.take(executor.control, executor.place)
        except secrets.Missing as none:
            return none.body
    if spec["tree"]:
        from apothic_emulator.executors import trees  # brings the contract  # noqa: PLC0415

        missing = trees.enter(spec, executor.control)
        if missing is not None:
            return missing
        executor.note = trees.noter(spec["cwd"])
    return _mount(executor, spec) if spec["mounts"] else None  # while there is one thread only


def _mount(executor: Executor, spec: dict[str, Any]) -> Buffer | None:
    from apothic_emulator.executors import volumes  # brings the contract  # noqa: PLC0415

    keys: dict[str, str] = {} if executor.secrets is None else executor.secrets.keys
    try:
        if spec["service"] is not None:
            from apothic_emulator.executors import lasting  # of services only  # noqa: PLC0415

            executor.lasting = lasting.Lasting(volumes.opened(spec, keys))
            return None
        if spec["methods"]:
            executor.lasting = volumes.opened(spec, keys)
            return None
        is_generator = executor.window is not None
        executor.around = volumes.mounted(
            spec, keys, is_async=executor.is_async, is_generator=is_generator
        )
    except Exception as error:  # noqa: BLE001 - it is reported
        return json.dumps(volumes.told(error)).encode()
    return None
