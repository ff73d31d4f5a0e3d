"""The life of an executor's process, from its channels to its exit code."""

from __future__ import annotations

import os
import threading
from typing import Any

from apothic_emulator.executors import wire
from apothic_emulator.executors.child import Executor

_this: Executor | None = None


def this_executor() -> Executor | None:
    """The executor that this process is."""
    return _this


def main(channels: list[int]) -> None:
    """Run an executor in this process; never returns."""
    global _this  # noqa: PLW0603 - a process is one executor at most
    _this = executor = Executor(channels)
    status = 0
    try:
        spec = executor.start()
        if spec is not None:
            _serve(executor, spec)
    except EOFError:
        pass  # the host hung up
    except (OSError, wire.WireError):
        status = wire.CHANNEL_LOST
    finally:
        _leave(executor, status)


def _serve(executor: Executor, spec: dict[str, Any]) -> None:
    """Do what it is for; what few functions need is only imported here."""
    slots: int = spec["slots"]
    if spec["service"] is not None:
        from apothic_emulator.executors.web import serving  # noqa: PLC0415

        serving.serve(executor, spec)
    elif spec["is_batched"] and executor.is_async:
        from apothic_emulator.executors import batch_tasks  # noqa: PLC0415

        batch_tasks.serve(executor, slots)
    elif spec["is_batched"]:
        from apothic_emulator.executors import batches  # noqa: PLC0415

        batches.serve(executor, slots)
    elif executor.is_async:
        from apothic_emulator.executors import tasks  # noqa: PLC0415

        tasks.serve(executor, slots)
    elif slots > 1 or executor.holder is not None:
        executor.serve_threads(slots)
    else:
        executor.serve()


def _leave(executor: Executor, status: int) -> None:
    """End as a Python program does: threads, exit handlers, streams. The host limits the time."""
    import atexit  # noqa: PLC0415

    try:
        executor.leaving = True
        if executor.holder is not None:
            executor.holder.leave()
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - joins what is not a daemon
        atexit._run_exitfuncs()  # noqa: SLF001
        executor.output.flush()
    except BaseException:  # noqa: BLE001, S110 - nobody is left to tell
        pass
    os._exit(status)
