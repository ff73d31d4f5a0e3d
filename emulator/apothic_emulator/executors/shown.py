"""One volume at a path of this process.

    shown ──► a call begins ──► writes ──► succeeds ──► hidden, committed, moved, shown
      ▲                           │
      └── hidden, moved, shown ◄──┴──► fails

While it is hidden, nobody can have a file of it open, so what was written is complete. If somebody
has one open it cannot be hidden: then a commit copies, and what is seen stays as it is. Something
is there in any case: what stands at the path meanwhile cannot be written to.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol

from apothic_backends.model.errors import UsageError, VolumeBusy
from apothic_backends.volumes.store import FAIL, LAST_WRITE_WINS, listed
from apothic_backends.volumes.views import View
from apothic_emulator.executors import mounts
from apothic_emulator.executors.mounts import Bind, Overlay
from apothic_emulator.executors.usage import Open, open_below


class Surface(Protocol):
    """How a view appears at a path."""

    def show(self) -> None:
        """Have it there."""
        ...

    def hide(self, *, even_if_used: bool = False) -> bool:
        """Take it away; False if somebody uses it."""
        ...


class Mounted:
    """By a mount of this process's own."""

    def __init__(self, view: View, path: str) -> None:
        self.view = view
        self.path = path
        self._has_worked = False

    def show(self) -> None:
        """Have it there: as an overlay, or where there is none, as a copy."""
        view = self.view
        if view.read_only and not view.is_copy:
            mounts.attach(Bind(self.path, str(view.lower), read_only=True))
            return
        if not view.is_copy:
            over = Overlay(self.path, str(view.lower), str(view.upper), str(view.work))
            try:
                mounts.attach(over)
            except OSError:
                if self._has_worked:
                    raise
                view.become_copy()
            else:
                self._has_worked = True
                return
        mounts.attach(Bind(self.path, str(view.copy), read_only=view.read_only))

    def hide(self, *, even_if_used: bool = False) -> bool:
        """Take it away; False if somebody uses it, or this process may not any more."""
        try:
            return mounts.detach(self.path, even_if_used=even_if_used)
        except OSError:
            return False


class Linked:
    """By a symbolic link to a copy: for the machines and backends without mounts."""

    def __init__(self, view: View, path: str) -> None:
        self.view = view
        self.path = path

    def show(self) -> None:
        """Have it there.

        Raises:
            OSError: something else is, or nothing may be made there.
        """
        goal = str(self.view.copy)
        if not os.path.lexists(self.path):
            self.view.note(self.path)
            os.symlink(goal, self.path)  # noqa: PTH211 - it is text
            return
        if not os.readlink(self.path).startswith(f"{self.view.folder}/"):  # noqa: PTH115 - as above
            raise FileExistsError(17, "something else is there", self.path)
        coming = f"{self.path}.{self.view.folder.name}"
        os.symlink(goal, coming)  # noqa: PTH211 - as above
        os.rename(coming, self.path)  # noqa: PTH104 - as above

    def hide(self, *, even_if_used: bool = False) -> bool:
        """Whether nobody uses it; the link stays where it is."""
        return even_if_used or not open_below(str(self.view.copy))


class Bound:
    """By a folder that stands at the path already: a container was made with it."""

    def __init__(self, view: View, path: str) -> None:
        self.view = view
        self.path = path

    def show(self) -> None:
        """It is there."""

    def hide(self, *, even_if_used: bool = False) -> bool:
        """Whether nobody uses it; the folder stays where it is."""
        return even_if_used or not open_below(self.path)


class Shown:
    """A volume at a path, and what has become of it."""

    def __init__(self, surface: Surface, view: View, path: str, *, strict: bool) -> None:
        self.volume = view.store.name
        self.name = f"volume {self.volume}"
        self.path = path
        self.view = view
        self.strict = strict
        self._surface = surface
        self._lock = threading.RLock()
        self._active = 0
        """Calls that are under way."""
        self._is_spoiled = False
        """Whether what was written may not be committed."""

    # --- around calls ---------------------------------------------------------------------------

    def begin(self) -> None:
        """A call begins: see the newest version, unless strict, or another is under way."""
        with self._lock:
            if not self._active:
                self._refresh()
            self._active += 1

    def _refresh(self) -> None:
        if self._is_spoiled:
            self._discard()
        if self.strict or self.view.is_newest or self.view.is_dirty():
            return
        if self._hide():
            self._move()
        elif not any(used.can_write for used in self._used()):
            self._surface.hide(even_if_used=True)  # who reads an old file reads on
            self._move(keep=True)

    def keep(self) -> None:
        """A call has succeeded: commit what was written.

        Raises:
            VolumeConflict: others have changed the same files; what was written is thrown away.
        """
        with self._lock:
            self._active -= 1
            if not self.view.has_changes():
                return
            if not self._active and not self.strict and self._hide():
                try:
                    self.view.commit(is_free=True)
                finally:
                    self._move()
                return
            try:
                self.view.commit()
            except BaseException:
                self._is_spoiled = True
                raise

    def save(self) -> None:
        """Commit what was written so far, over what others have, and while it is written on.

        Raises:
            VolumeFailed: the disk does not take it.
        """
        with self._lock:
            self.view.commit(on_conflict=LAST_WRITE_WINS)

    def discard(self) -> None:
        """A call has failed: throw away what was written, unless another is under way."""
        with self._lock:
            self._active -= 1
            if not self._active:
                self._discard()

    def _discard(self) -> None:
        self._is_spoiled = False
        if self.view.has_changes():
            is_free = self._hide()
            if not is_free:
                self._surface.hide(even_if_used=True)
            self._move(keep=not is_free)

    def note(self, error: BaseException) -> None:
        """Say with a file that is not found that there is one in a newer version."""
        if not isinstance(error, FileNotFoundError) or not isinstance(error.filename, str | bytes):
            return
        inside = os.path.relpath(os.path.abspath(os.fsdecode(error.filename)), self.path)  # noqa: PTH100 - text
        if inside.startswith("..") or self.view.is_newest:
            return
        newest = self.view.store.read()
        if self.view.whole(inside) in newest.entries:
            error.add_note(
                f"{inside!r} is in version {newest.rev} of volume {self.volume!r}, and this worker "
                f"sees version {self.view.rev}, as in a cloud: call volume.reload() first"
            )

    # --- from inside a function -----------------------------------------------------------------

    def commit(self, on_conflict: str = FAIL, fence: int = 0) -> int:
        """Make what was written the newest version, and see what others have made."""
        with self._lock:
            rev = self.view.commit(on_conflict=on_conflict, fence=fence)
            if self._hide():
                try:  # what was written in between
                    rev = max(rev, self.view.commit(is_free=True, on_conflict=on_conflict))
                finally:
                    self._move()
            return rev

    def reload(self) -> int:
        """See the newest version.

        Raises:
            VolumeBusy: files are open.
            UsageError: something is not committed.
        """
        with self._lock:
            if not self._hide():
                names = [used.path for used in self._used()]
                raise VolumeBusy(
                    f"volume {self.volume} cannot be reloaded while these are open: "
                    f"{listed(names) or 'something below ' + self.path}; close them first",
                    files=names,
                )
            try:
                is_dirty = self.view.is_dirty()
                if not is_dirty:
                    self.view.move()
            finally:
                self._surface.show()
            if is_dirty:
                raise UsageError(
                    f"what was written to volume {self.volume} would be lost: call commit() first, "
                    "which reloads it, too"
                )
            return self.view.rev

    # --- there and away -------------------------------------------------------------------------

    def _hide(self) -> bool:
        return self._surface.hide()

    def _move(self, *, keep: bool = False) -> None:
        try:
            self.view.move(keep=keep)
        finally:
            self._surface.show()

    def _used(self) -> list[Open]:
        is_link = isinstance(self._surface, Linked)
        return open_below(str(self.view.copy) if is_link else self.path)

    def close(self) -> None:
        """Take it away for good."""
        while self._surface.hide(even_if_used=True) and isinstance(self._surface, Mounted):
            pass  # what stands in its place while it is hidden, too
        self.view.close()
