"""The program inside an executor: load one function, then take jobs one at a time.

Runs in a process that was forked for it. User code runs on the main thread; a function with
several slots runs on as many threads, and an async one as tasks of one asyncio loop.
"""

from __future__ import annotations

import faulthandler
import fcntl
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from socket import socket
from types import FrameType
from typing import Any

from apothic_emulator.executors import calls, linux, wire
from apothic_emulator.executors.control import Control
from apothic_emulator.executors.output import Output
from apothic_emulator.executors.wire import Buffer, Frame, Packet

DUMP_SIGNAL = signal.SIGRTMIN + 7
"""Has the executor write its Python stacks to its dump file, whatever the main thread does."""

_HIGH = 500
"""Our descriptors lie above this, where code that closes "its" low ones does not meet them."""


class Stopped(BaseException):
    """Raised in user code when its time is up or its job is cancelled."""


class Executor:
    """One process and its three channels."""

    def __init__(self, channels: list[int], number: int) -> None:
        jobs, bulk, session, out, err, dump = (_raise_fd(fd) for fd in channels)
        self.jobs = socket(fileno=jobs)
        self.bulk = socket(fileno=bulk)
        self.control = Control(session)
        self.number = number
        self.pid = os.getpid()
        self.function: Callable[..., Any] = print
        self._dump = dump
        self._logs = (out, err)
        self._receiving = threading.Lock()
        self._active = 0
        self._sending = threading.Lock()
        self.in_user_code = False
        self.retiring = False

    def start(self) -> dict[str, Any] | None:
        """Become what the first packet describes; None when the function cannot be loaded."""
        _, body, buffers = self.receive()
        spec: dict[str, Any] = json.loads(body)
        self._settle(spec)
        signal.signal(signal.SIGTERM, self._on_term)
        try:
            self.in_user_code = True
            self.function = calls.load(spec["codec"], buffers[0], tuple(buffers[1:]))
            self.in_user_code = False
        except BaseException as error:  # noqa: BLE001 - an import may raise anything, exit too
            self.in_user_code = False
            info, pickled = calls.describe(error, skip=2)
            info["code"] = "setup_failed"
            info["message"] = f"{spec['name']} cannot be loaded: {info['type_name']}: {error}"
            self._report_error(wire.LOAD_FAILED, 0, 0, info, pickled)
            return None
        self.send(Frame(wire.LOADED, 0, 0, 0, b""))
        return spec

    def _settle(self, spec: dict[str, Any]) -> None:
        """Take over the caller's working directory, environment, and module path."""
        os.environ.clear()
        os.environ.update(spec["env"])
        os.environ["APOTHIC_WORKER"] = str(self.pid)
        sys.path[:] = spec["path"]
        sys.argv[:] = [spec["name"]]
        try:
            os.chdir(spec["cwd"])
        except OSError:
            os.chdir("/")  # the caller's directory was removed under it; its own calls fail too
        self.output = Output(*self._logs, bytes.fromhex(spec["token"]))
        faulthandler.enable(self._logs[1])
        faulthandler.register(DUMP_SIGNAL, self._dump, all_threads=True)
        self._world = _World()

    def _on_term(self, signum: int, frame: FrameType | None) -> None:
        self.retiring = True
        if self.in_user_code:
            raise Stopped

    # --- channels -------------------------------------------------------------------------------

    def receive(self) -> tuple[Packet, Buffer, list[Buffer]]:
        """Block for the next packet and what follows it on the bulk channel."""
        data = self.jobs.recv(wire.MOST_PACKET)
        if not data:
            raise EOFError
        packet = wire.parse_packet(data)
        body, buffers = wire.receive_rest(self.bulk, packet)
        return packet, body, buffers

    def send(self, frame: Frame) -> None:
        """Report; in a process that user code forked off, nothing but the end."""
        if os.getpid() != self.pid:
            os._exit(0)
        with self._sending:
            wire.send_all(self.bulk, wire.frame_parts(frame))

    def _report_error(
        self, kind: int, job: int, attempt: int, info: dict[str, str], pickled: Any
    ) -> None:
        parts = (pickled[0], *pickled[1]) if pickled is not None else ()
        body = json.dumps(info).encode()
        self.send(Frame(kind, self._end_job(), attempt, job, body, parts))

    def begin_call(self) -> None:
        """Count a call that begins."""
        self._active += 1

    def _end_job(self) -> int:
        """What the host must know beside the result: text to read, leftovers of the last call."""
        flags = wire.PRINTED if self.output.end_job() else 0
        self._active -= 1
        alone = self._active <= 0
        if self.retiring or (alone and (linux.has_child() or self._world.has_leftover_thread())):
            self.retiring = True
            flags |= wire.RETIRE
        return flags

    # --- one job --------------------------------------------------------------------------------

    def run_job(self, packet: Packet, body: Any, buffers: list[Buffer]) -> None:
        """Run one call to its end and report it."""
        job, attempt = packet.job, packet.attempt
        token = calls.CURRENT.set((job, attempt))
        self.begin_call()
        try:
            self._call_and_report(job, attempt, body, buffers)
        finally:
            calls.CURRENT.reset(token)

    def _call_and_report(
        self, job: int, attempt: int, body: Any, buffers: list[Buffer]
    ) -> None:
        try:
            self.in_user_code = True
            args, kwargs = calls.arguments(body, tuple(buffers))
            value = self.function(*args, **kwargs)
            self.in_user_code = False
        except BaseException as error:  # noqa: BLE001 - SystemExit and friends are the user's
            self.in_user_code = False
            self.report_exception(job, attempt, error)
            return
        self.report_value(job, attempt, value)

    def report_value(self, job: int, attempt: int, value: Any) -> None:
        """Send the result, or say why it cannot be sent."""
        try:
            self.in_user_code = True  # pickling runs the user's __reduce__
            data, buffers = calls.encode(value)
            self.in_user_code = False
        except BaseException as error:  # noqa: BLE001
            self.in_user_code = False
            info, _ = calls.describe(error, skip=0)
            info["code"] = "result_not_serializable"
            info["message"] = (
                f"the result, a {type(value).__name__}, cannot be sent back: "
                f"{info['type_name']}: {info['message']}. Return plain data, or write it to a file"
            )
            self._report_error(wire.ERROR, job, attempt, info, None)
            return
        self.send(Frame(wire.RESULT, self._end_job(), attempt, job, data, buffers))

    def report_exception(self, job: int, attempt: int, error: BaseException) -> None:
        """Send what the call raised."""
        info, pickled = calls.describe(error)
        if isinstance(error, MemoryError | SystemError):
            self.retiring = True  # the interpreter itself may be damaged
        self._report_error(wire.ERROR, job, attempt, info, pickled)

    # --- loops ----------------------------------------------------------------------------------

    def serve(self) -> None:
        """Take jobs on this thread until the channel ends or the executor retires."""
        while not self.retiring:
            with self._receiving:
                if self.retiring:
                    return
                packet, body, buffers = self.receive()
            self.run_job(packet, body, buffers)
            del body, buffers  # a large argument would live until the next call
            if not self._active:
                self._world.restore()

    def serve_threads(self, count: int) -> None:
        """Take jobs on `count` threads, this one among them."""
        for _ in range(count - 1):
            threading.Thread(target=self._serve_quietly, name="apothic-slot", daemon=True).start()
        self._world.count_threads()
        self.serve()

    def _serve_quietly(self) -> None:
        try:
            self.serve()
        except (EOFError, OSError):
            self.retiring = True


class _World:
    """What calls share and must not hand on: working directory, environment, umask."""

    def __init__(self) -> None:
        self.cwd = os.getcwd()  # noqa: PTH109 - compared as text on every call
        self.env = dict(os.environ)
        self.umask = os.umask(0o022)
        os.umask(self.umask)
        self._raw_env: Any = dict(os.environ._data)  # type: ignore[attr-defined]  # noqa: SLF001
        self._threads = 0
        self.count_threads()

    def count_threads(self) -> None:
        """Take the threads that run now for ours."""
        self._threads = len(sys._current_frames())  # noqa: SLF001

    def restore(self) -> None:
        """Put back what a call has changed."""
        if os.environ._data != self._raw_env:  # type: ignore[attr-defined]  # noqa: SLF001
            os.environ.clear()
            os.environ.update(self.env)
        try:
            if os.getcwd() != self.cwd:  # noqa: PTH109
                os.chdir(self.cwd)
        except OSError:
            os.chdir("/")
        os.umask(self.umask)

    def has_leftover_thread(self) -> bool:
        """Whether a call left a thread behind that would keep the process alive.

        Idle workers of a `ThreadPoolExecutor` that the code keeps are meant to stay.
        """
        if threading.active_count() <= 1:
            return False
        pools = sys.modules.get("concurrent.futures.thread")
        idle: Any = getattr(pools, "_threads_queues", {})
        return any(
            not thread.daemon and thread is not threading.main_thread() and thread not in idle
            for thread in threading.enumerate()
        )


def _raise_fd(fd: int) -> int:
    """Move a descriptor out of the way of user code; children do not inherit it."""
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    os.close(fd)
    return high


CURRENT_EXECUTOR: Executor | None = None
"""The executor that this process is."""


def main(channels: list[int], number: int) -> None:
    """Run an executor in this process; never returns."""
    global CURRENT_EXECUTOR  # noqa: PLW0603 - a process is one executor at most
    CURRENT_EXECUTOR = executor = Executor(channels, number)
    try:
        spec = executor.start()
        if spec is not None:
            _serve(executor, spec)
    except (EOFError, OSError, wire.WireError):
        pass  # the host hung up, or user code closed our channels: either way this is the end
    finally:
        _leave(executor)


def _serve(executor: Executor, spec: dict[str, Any]) -> None:
    if spec["is_async"]:
        from apothic_emulator.executors import tasks  # asyncio: only for those who need it  # noqa: PLC0415

        tasks.serve(executor, spec["slots"])
    elif spec["slots"] > 1:
        executor.serve_threads(spec["slots"])
    else:
        executor.serve()


def _leave(executor: Executor) -> None:
    """End as a Python program does: threads, exit handlers, streams. The host limits the time."""
    import atexit  # noqa: PLC0415

    try:
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - joins what is not a daemon
        atexit._run_exitfuncs()  # noqa: SLF001
        executor.output.end_job()
    except BaseException:  # noqa: BLE001, S110 - nobody is left to tell
        pass
    os._exit(0)
