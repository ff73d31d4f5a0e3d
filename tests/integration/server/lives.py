"""Servers that die, one after the other: `python -m tests.integration.server.lives LOG ARGUMENTS`.

Each kills itself at a commit of an account: the first one of a kind that no server has died before,
or else after. Then nobody has heard anything of what was or was not written. The log has a line for
each death, which says what was in the commit. All are forked from here, where all is imported,
since a start takes a second otherwise.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from apothic_emulator.core.records import unpack
from apothic_emulator.server.commands import serve
from apothic_emulator.stores.base import Change
from apothic_emulator.stores.sqlite import SqliteEngine


def kind_of(changes: Sequence[Change]) -> str:
    """What is in a commit: the kinds of its records, and what has become of jobs."""
    return " ".join(sorted({_kind_of(key, value) for key, value in changes}))


def _kind_of(key: str, sealed: bytes | None) -> str:
    kind = key.partition("/")[0] + "-" * (sealed is None)
    if kind == "run" and sealed is not None:
        head, _ = unpack(sealed[5:])
        return f"run:{head[0]}"
    return kind


def live(log: Path, arguments: list[str]) -> None:
    """Serve until there is something to die of."""
    known = set(log.read_text().splitlines()) if log.exists() else set()
    commit = SqliteEngine.commit

    def die(line: str) -> None:
        with log.open("a") as file:
            file.write(f"{line}\n")
        os.kill(os.getpid(), signal.SIGKILL)

    def maybe_last(engine: SqliteEngine, changes: Sequence[Change]) -> None:
        if "accounts" not in engine.path.parts:
            commit(engine, changes)
            return
        kind = kind_of(changes)
        if f"before {kind}" not in known:
            die(f"before {kind}")
        commit(engine, changes)
        if f"after {kind}" not in known:
            die(f"after {kind}")

    SqliteEngine.commit = maybe_last  # type: ignore[method-assign]
    serve.main(arguments, standalone_mode=False)


def main(log: Path, arguments: list[str]) -> None:
    """Have one follow the other until we are told to end, and the one that lives with us."""
    child = 0

    def end(*_: object) -> None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os._exit(0)

    import_module("apothic_emulator.server.process")
    while True:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        child = os.fork()
        if not child:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
            live(log, arguments)
            os._exit(1)
        signal.signal(signal.SIGTERM, end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            sys.exit(f"a server ended by itself: {status}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
