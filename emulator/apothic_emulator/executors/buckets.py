"""Buckets at paths of a process: by FUSE, as a directory that mirrors one or stands for it.

A `BucketView` is to a bucket what a `View` is to a volume, as far as it takes to show it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apothic_backends.buckets.bucket import Bucket, Place
from apothic_backends.buckets.directories import directory, stands_for
from apothic_backends.buckets.mirror import Mirror
from apothic_backends.home import home
from apothic_backends.model.functions import MountSpec
from apothic_backends.volumes.store import Held, sweep
from apothic_backends.volumes.views import take_back
from apothic_emulator.executors.fuse import Lacking, Server
from apothic_emulator.executors.shown import Bound, Linked, Mounted


class BucketView:
    """The directory that a process sees in place of a bucket."""

    is_copy = True

    def __init__(self, spec: MountSpec, keys: Mapping[str, str], at: Path | None = None) -> None:
        """`at` is the folder in which it is, if that can be no other; a directory is there."""
        self.name = spec.name
        self.read_only = spec.read_only
        self._held = _hold(home() / "buckets")
        self.folder = self._held.path
        self.place: dict[str, Any] | None = None
        self.keys: list[str | None] = []
        self.mirror: Mirror | None = None
        self.copy = at or self.folder / "objects"
        try:
            if stands_for(spec) is not None:
                self.copy = at or directory(spec)
            else:
                self.copy.mkdir(exist_ok=True)
                self.place = _place(spec)
                self.keys = [keys[name] for name in spec.keys] or [None, None]
        except BaseException:
            self.close()
            raise

    @property
    def scratch(self) -> Path:
        """An empty folder, for whoever needs one."""
        path = self.folder / "scratch"
        path.mkdir(exist_ok=True)
        return path

    def note(self, path: str) -> None:
        """Have this link, or this empty folder, removed with the view, by whomever that is."""
        with (self.folder / "notes").open("a", errors="surrogateescape") as notes:
            notes.write(f"{path}\n")

    def fill(self) -> None:
        """Fetch what is in the bucket.

        Raises:
            BucketFailed: that cannot be.
        """
        if self.place is not None:
            self.mirror = Mirror(Bucket(Place(**self.place), *self.keys), self.copy)
            self.mirror.fill()

    def has_changes(self) -> bool:
        """Whether something was written that the bucket has not."""
        return not self.read_only and self.mirror is not None and any(self.mirror.changes())

    def close(self) -> None:
        """Have nothing of it left."""
        take_back(self.folder)
        self._held.let_go()


class BucketShown:
    """A bucket at a path: what a call has written goes up when it has succeeded."""

    def __init__(self, surface: Any, view: BucketView) -> None:
        self.view = view
        self.name = f"bucket {view.name}"
        self._surface = surface
        self._lock = threading.RLock()
        self._active = 0
        """Calls that are under way."""

    def begin(self) -> None:
        """A call begins."""
        with self._lock:
            self._active += 1

    def keep(self) -> None:
        """A call has succeeded.

        Raises:
            BucketFailed: the bucket does not take what was written.
        """
        with self._lock:
            self._active -= 1
            if self.view.mirror is not None and not self.view.read_only:
                self.view.mirror.push()

    def save(self) -> None:
        """Have what was written so far go up, over what others have written there.

        Raises:
            BucketFailed: the bucket does not take it.
        """
        with self._lock:
            if self.view.mirror is not None and not self.view.read_only:
                self.view.mirror.push()

    def discard(self) -> None:
        """A call has failed: have what the bucket has, unless another call is under way."""
        with self._lock:
            self._active -= 1
            if not self._active and self.view.mirror is not None and not self.view.read_only:
                self.view.mirror.pull()

    def note(self, error: BaseException) -> None:
        """There is nothing to say of an error that a call has raised."""

    def close(self) -> None:
        """Take it away for good."""
        self._surface.hide(even_if_used=True)
        self.view.close()


class BucketServed:
    """A bucket at a path by FUSE: what is written goes up when its file is closed."""

    def __init__(self, surface: Mounted, view: BucketView, server: Server) -> None:
        self.view = view
        self.name = f"bucket {view.name}"
        self._surface = surface
        self._server = server

    def begin(self) -> None:
        """There is nothing to do for a call that begins."""

    def keep(self) -> None:
        """A call has succeeded.

        Raises:
            BucketFailed: something that it has written is not in the bucket.
        """
        if not self.view.read_only:
            self._server.sync()

    def save(self) -> None:
        """Have what was closed so far go up, over what others have written there.

        Raises:
            BucketFailed: something of it is not in the bucket.
        """
        self.keep()

    def discard(self) -> None:
        """A call has failed; what it has closed is in the bucket."""

    def note(self, error: BaseException) -> None:
        """Say in words what the operating system has numbers for."""
        if isinstance(error, OSError):
            for why in self._server.why():
                error.add_note(why)

    def close(self) -> None:
        """Take it away for good; what is open in a call that is stopped is no whole file."""
        self._surface.hide(even_if_used=True)
        self._server.close()
        self.view.close()


def shown(surface: Mounted | Linked | Bound, view: BucketView) -> BucketShown | BucketServed:
    """Have a bucket at its path: by FUSE if that can be, else as a directory that mirrors it.

    Raises:
        BucketFailed: it cannot be had.
        OSError: it cannot be there.
    """
    if view.place is not None and isinstance(surface, Mounted):
        try:
            return _served(surface, view, view.place)
        except Lacking as lacking:
            logging.getLogger("apothic").debug(
                "bucket %s is copied to %s, not mounted: %s", view.name, surface.path, lacking
            )
    view.fill()
    surface.show()
    return BucketShown(surface, view)


def _served(surface: Mounted, view: BucketView, place: dict[str, Any]) -> BucketServed:
    server = Server(place, view.keys, str(view.folder))
    try:
        server.mount(surface.path, view.name, read_only=view.read_only)
    except OSError as error:
        server.close()
        raise Lacking(f"mount: {error.strerror}") from error
    return BucketServed(surface, view, server)


def _hold(folder: Path) -> Held:
    """A new folder that is this process's; those of processes that have died are swept away."""
    folder.mkdir(mode=0o700, exist_ok=True)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        sweep(folder, take_back)
        return Held(folder / os.urandom(8).hex())
    finally:
        os.close(fd)


def _place(spec: MountSpec) -> dict[str, Any]:
    """The fields of a `Place`."""
    same = ("prefix", "endpoint_url", "region", "force_path_style")
    return {"bucket_name": spec.name} | {name: getattr(spec, name) for name in same}
