"""A builder: it makes the environment of an executor whose channels it has meanwhile.

What it prints, the executor's job has printed. It ends well when all is there, and the executor is
forked then; it reports, as one that cannot load its function, why that is not to be had.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from _socket import socket
from importlib import import_module
from typing import Any, NoReturn

from apothic_backends.model.errors import ApothicError
from apothic_emulator.executors import linux, wire
from apothic_emulator.executors.control import Control
from apothic_emulator.executors.wire import Frame

FAILED = 1
"""The exit code of one that has reported why."""


class Ended(BaseException):
    """It is to end: whoever hears that undoes what is half done."""


def main(channels: list[int]) -> NoReturn:
    """Do one task in this process: `build(task, control)` of the module that it names."""
    jobs, bulk_fd, session, out, err, *_ = map(linux.raise_fd, channels)
    bulk = socket(fileno=bulk_fd)
    os.dup2(out, 1)
    os.dup2(err, 2)
    signal.signal(wire.DUMP_SIGNAL, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    status = 0
    try:
        task = _receive(jobs, bulk)
        os.environ.clear()
        os.environ.update(task["env"])
        sys.path[:] = task["path"]
        import_module(task["module"]).build(task, Control(session))
    except (Ended, EOFError):
        linux.die_of(signal.SIGTERM)
    except Exception as error:  # noqa: BLE001 - it is reported
        wire.send_all(bulk, wire.frame_parts(_told(error)))
        status = FAILED
    finally:
        os._exit(status)


def _end(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Ended


def _receive(jobs: int, bulk: socket) -> dict[str, Any]:
    """The task, which is the first packet; the next one is for the executor."""
    data = os.read(jobs, wire.MOST_PACKET)
    if not data:
        raise EOFError
    body, _ = wire.receive_rest(bulk, wire.parse_packet(data))
    task: dict[str, Any] = json.loads(bytes(body))
    return task


def _told(error: Exception) -> Frame:
    """A report of why there is no environment."""
    code, message, data = "setup_failed", f"{type(error).__name__}: {error}", {}
    if isinstance(error, ApothicError):
        code, message, data = error.code, error.message, error.data
    told = {"code": code, "message": message, "type_name": "", "traceback": "", "data": data}
    return Frame(wire.LOAD_FAILED, 0, 0, 0, json.dumps(told, default=str).encode())
