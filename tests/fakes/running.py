"""Programs of machines that are not there: processes of this computer, each with all it starts.

A machine has an environment and a folder of its own and, if it is let and this computer allows it,
a network, from which it reaches what its variables name and nothing else. It shares all else: files
and processors. What leaves its process group is found by a mark in its environment.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from select import select

import psutil

from tests.fakes.network import Network, named

MARK = "APOTHIC_FAKE_MACHINE"

_KEPT = 64 * 1024


class Program:
    """What runs on a machine."""

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str], folder: Path, network: Network | None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log, self._mark = folder / "output.log", secrets.token_hex(16)
        self.network = network
        """Its own, if it has one."""

        def begin() -> subprocess.Popen[bytes]:
            with self._log.open("wb") as log:
                return subprocess.Popen(
                    [*argv],
                    cwd=folder,
                    env={**_base(folder), **env, MARK: self._mark},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )

        self._process = begin() if network is None else network.run(begin)

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        return self._process.poll()

    def wait(self, timeout_s: float) -> int:
        return self._process.wait(timeout_s)

    def output(self) -> str:
        """The end of what it has printed."""
        return self._log.read_bytes()[-_KEPT:].decode("utf-8", "replace")

    def ask_to_end(self) -> None:
        """SIGTERM for the program itself, as where a machine is stopped."""
        if self.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """End it at once, with all that it has started, as where a machine is gone."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self.network is not None:
            self.network.close()
        while left := [*self._marked()]:
            for process in left:
                with suppress(psutil.Error, OSError):
                    _end(process)

    def _marked(self) -> Iterator[psutil.Process]:
        """Those that it has started and that are still there."""
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == self._mark and _is_alive(process):
                    yield process


def _is_alive(process: psutil.Process) -> bool:
    return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def _end(process: psutil.Process) -> None:
    """Kill it, and wait until it is dead; whoever has it reaps it when he likes."""
    pidfd = os.pidfd_open(process.pid)
    try:
        process.kill()
        select([pidfd], [], [], 5)
    finally:
        os.close(pidfd)


def _base(folder: Path) -> dict[str, str]:
    """What an image would have set."""
    beside = str(Path(sys.executable).parent)
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL") if name in os.environ}
    return {
        **kept,
        "PATH": f"{beside}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "HOME": str(folder),
        "TMPDIR": str(folder),
    }


def start(
    argv: Sequence[str], env: Mapping[str, str], folder: Path, *, is_let: bool = False
) -> Program:
    """Start a machine's program in a folder of its own.

    One that is let is reached by nobody, so it gets a network of its own where it can.

    Raises:
        OSError: there is no such program.
    """
    network = None
    if is_let:
        with suppress(OSError):
            network = Network(named(env))
    try:
        return Program(argv, env, folder, network)
    except OSError:
        if network is not None:
            network.close()
        raise


def level() -> str:
    """How far machines that are let are cut off from this computer."""
    try:
        Network(()).close()
    except OSError as error:
        return f"they share this computer's network ({error.strerror})"
    return "each that is let has a network of its own"
