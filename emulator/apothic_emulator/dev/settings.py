"""The server of `apothic dev`: at home in a project, on loopback alone."""

from __future__ import annotations

import socket
from pathlib import Path

from apothic_backends.model.record import Record
from apothic_backends.project import namespace, own_folder, state_folder, state_url
from apothic_backends.remote.errors import Busy
from apothic_backends.remote.running import DEV_FILE, dev_folder, running_dev
from apothic_emulator.agent.doors import holder
from apothic_emulator.server.listening import listen
from apothic_emulator.server.places import store_of
from apothic_emulator.server.settings import Settings
from apothic_emulator.stores.opening import open_store
from apothic_emulator.stores.store import Store

PORT = 7600
"""Where it listens if that is free."""

_PORTS = 100
"""How many ports it tries."""

GRACE_S = 2.0
"""What running jobs get to end when somebody ends the server who looks at it."""


class DevSettings(Settings):
    """`state` is where the project says; what its programs keep is what they keep without us."""

    root: Path = Path()
    namespace: str = ""

    @property
    def told_in(self) -> Path:
        """The file in which it says where it is."""
        return self.folder.parent / DEV_FILE

    def store(self, account: str | None = None) -> Store:
        """The store of the project's namespace, or the server's own."""
        if account is None:
            return store_of("sqlite", self.folder)
        folder = state_folder(self.root, self.namespace)
        found = open_store(self.state, folder, self.namespace)
        found.archives = found.archives or self.folder / "archives"
        return found


def settings_of(root: Path) -> DevSettings:
    """How it is served in a project; the state outlives it unless somebody says otherwise.

    Raises:
        Busy: one runs there.
        InvalidOption: what the project says cannot be meant.
    """
    other = running_dev(root)
    if other is not None:
        raise Busy(
            f"`apothic dev` runs already in {root}: process {other.pid}, at {other.url}. Use that, "
            "or end it first"
        )
    own_folder(root, "dev")
    name, url = namespace(root), state_url(root)
    own_folder(root, "state", name)
    state = "sqlite" if url == "memory" else url
    folder = dev_folder(root)
    return DevSettings(folder, state=state, root=root, namespace=name, grace_s=GRACE_S)


class Listening(Record):
    """A socket that listens, and what there is to say of its port."""

    socket: socket.socket
    note: str = ""


def listen_at(settings: DevSettings, port: int | None) -> Listening:
    """Listen at a port, or at the first that is free.

    Raises:
        Busy: it is taken, or all are.
    """
    if port is not None:
        return Listening(_listen(settings, port))
    for other in range(PORT, PORT + _PORTS):
        try:
            listening = listen(settings.replace(port=other))
        except Busy:
            continue
        note = "" if other == PORT else f"port {PORT} is taken by {holder(PORT)}"
        return Listening(listening, note)
    raise Busy(f"no port from {PORT} to {PORT + _PORTS - 1} is free; choose one with --port")


def _listen(settings: DevSettings, port: int) -> socket.socket:
    try:
        return listen(settings.replace(port=port))
    except Busy:
        raise Busy(
            f"port {port} is taken by {holder(port)}; choose another with --port, or leave it out "
            "for the next one that is free"
        ) from None
