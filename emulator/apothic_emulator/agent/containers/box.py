"""A container that is the home of one executor, from its creation to its end.

    created ──► started ──► its first process has connected: it has the channel ──► gone
       └──────────┴── cannot be: `error` says why, and the channel ends

All of it happens on a thread; what is asked of the zygote meanwhile lies in the channel. The life
of a container is a pipe that only its processes can write to: it ends when the last of them has.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from select import POLLIN, poll
from typing import Any

from apothic_backends.containers import engine, passing
from apothic_backends.containers.passing import RECEIVE, Door
from apothic_backends.model.errors import ApothicError
from apothic_backends.model.jobs import ErrorInfo

PATIENCE_S = 10.0
"""What a container gets to end by itself, once it was told to."""
_MOST_TOLD = 8192

PROGRAM = f"""{RECEIVE}
try:
    from apothic_emulator.executors.boxed import main
    main(fds, said)
except BaseException:
    import os, traceback
    os.write(fds[2], traceback.format_exc()[-4000:].encode())
    raise
"""
"""What the first process runs."""

Create = Callable[[Any, dict[str, Any]], str]
"""Creates a container, with a client of Docker's, that has this mount, too; its id."""


class Box:
    """One container, as a zygote that was launched."""

    pid = None

    def __init__(
        self,
        far: socket.socket,
        create: Create,
        said: dict[str, Any],
        explain: Callable[[ApothicError], ApothicError],
        ended: Callable[[], object],
    ) -> None:
        """`explain` knows better what an error means; `ended` is called once nothing is left."""
        self._explain = explain
        self._create = create
        self._ended = ended
        self._said = json.dumps(said).encode()
        self._container = ""
        self._error: ErrorInfo | None = None
        self._life, theirs = os.pipe()
        os.set_blocking(self._life, False)
        self._opening = threading.Thread(
            target=self._open, args=(far, theirs), name="apothic-container", daemon=True
        )
        self._opening.start()

    @property
    def error(self) -> ErrorInfo | None:
        """Why it could not be opened, or what its first process has died of."""
        return self._error

    def _open(self, far: socket.socket, theirs: int) -> None:
        host = os.pidfd_open(os.getpid())
        try:
            self._run((far.fileno(), host, theirs))
        except ApothicError as error:
            known = self._explain(error)
            self._error = ErrorInfo(known.code, known.message, data=known.data)
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits for it is told
            self._error = ErrorInfo("setup_failed", f"a container cannot be started: {error!r}")
        finally:
            os.close(theirs)
            os.close(host)
            far.close()

    def _run(self, fds: Sequence[int]) -> None:
        client = engine.connect()
        with closing(client), Door() as door:
            self._container = self._create(client, door.mount)
            try:
                with engine.told():
                    client.start(self._container)
                has_come = door.pass_on(fds, self._said, lambda: self._is_running(client))
            except BaseException:
                self._remove()
                raise
        if not has_come:
            self._remove()
            raise engine.refused(
                "the first process of a container ended at once: its interpreter does not work"
            )

    def _is_running(self, client: Any) -> bool:
        import docker.errors  # noqa: PLC0415 - slow to import, and an extra

        try:
            state = client.inspect_container(self._container)["State"]
        except docker.errors.NotFound:
            return False
        return bool(state["Status"] not in {"exited", "dead", "removing"})

    def wait(self) -> None:
        """Block until no process of it is left, and see to it that none is."""
        self._opening.join(passing.PATIENCE_S)
        if self._life < 0:
            return
        ended = poll()
        ended.register(self._life, POLLIN)
        while ended.poll(PATIENCE_S * 1000):
            said = os.read(self._life, _MOST_TOLD)
            if not said:
                break
            last = said.decode(errors="replace").strip()
            message = f"the zygote of a container failed: {last.splitlines()[-1]}"
            self._error = ErrorInfo("setup_failed", message, traceback=last)
        else:
            self._remove()
        os.close(self._life)
        self._life = -1
        threading.Thread(target=self._ended, name="apothic-container").start()

    def _remove(self) -> None:
        """End it at once."""
        import docker.errors  # noqa: PLC0415 - as above

        try:
            with closing(engine.connect()) as client:
                client.remove_container(self._container, force=True, v=True)
        except (docker.errors.APIError, ApothicError):
            pass  # it is gone, or is about to be
