"""Volume: named files that outlive the functions which read and write them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar

from apothic._twins import stream, twin, work
from apothic._values import Value, flag, refuse, text, whole
from apothic.blocks import Ephemeral
from apothic.iterations import Iteration, pieces
from apothic.mounts import StorageMount, inner_path, mount_path
from apothic.uploads import BatchUpload, Source
from apothic_backends.model.errors import UsageError
from apothic_backends.model.functions import MountSpec
from apothic_backends.model.volumes import VolumeFile

T = TypeVar("T")

PORTABLE, VAST_LOCAL = "portable", "vast_local"
MODE = "APOTHIC_VOLUMES"
"""The environment variable that makes all volumes strict."""


class Volume(Value):
    """Named files that outlive the functions which read and write them.

    A handle: making one looks nothing up. Paths below are those inside the volume; a slash before
    one is the volume's own root.
    """

    name: str
    backend: str
    create_if_missing: bool
    mount_path_default: str | None
    strict: bool
    is_read_only: bool
    sub_path: str

    def __init__(
        self,
        name: str,
        backend: str = PORTABLE,
        *,
        create_if_missing: bool = False,
        mount_path_default: str | None = None,
        strict: bool = False,
        read_only: bool = False,
        sub_path: str | None = None,
    ) -> None:
        if backend not in (PORTABLE, VAST_LOCAL):
            refuse("backend", backend, f"{PORTABLE!r} or {VAST_LOCAL!r}")
        from apothic_backends.volumes.paths import check_name  # with a volume  # noqa: PLC0415

        super().__init__(
            name=check_name(text("name", name)),
            backend=backend,
            create_if_missing=flag("create_if_missing", create_if_missing),
            mount_path_default=None
            if mount_path_default is None
            else mount_path(mount_path_default),
            strict=flag("strict", strict),
            is_read_only=flag("read_only", read_only),
            sub_path=inner_path(sub_path),
        )

    # --- by name --------------------------------------------------------------------------------

    @classmethod
    def from_name(
        cls,
        name: str,
        *,
        create_if_missing: bool = False,
        mount_path_default: str | None = None,
        strict: bool = False,
    ) -> Volume:
        """The volume of that name; it is looked up, or made, at the first use.

        A `strict` volume is seen as in a cloud: a worker has what was there when it started, until
        it calls `reload()`. `APOTHIC_VOLUMES=strict` makes all of them so.

        Raises:
            InvalidOption: the name is no plain word, or the path cannot be mounted at.
        """
        return cls(
            name,
            create_if_missing=create_if_missing,
            mount_path_default=mount_path_default,
            strict=strict,
        )

    @classmethod
    def cloud(
        cls, name: str, *, create_if_missing: bool = False, mount_path_default: str | None = None
    ) -> Volume:
        """A portable volume, on object storage or in a local directory: what `from_name` gives."""
        return cls(name, create_if_missing=create_if_missing, mount_path_default=mount_path_default)

    @classmethod
    def create(
        cls, name: str, *, backend: str = PORTABLE, mount_path_default: str | None = None
    ) -> Volume:
        """The volume of that name, made at the first use if there is none.

        `backend="vast_local"` is fast and stays on one host: the one where it is first mounted.
        A function can have one of these. Here a host is a name, `APOTHIC_HOST`.
        """
        return cls(name, backend, create_if_missing=True, mount_path_default=mount_path_default)

    @staticmethod
    def ephemeral(*, mount_path_default: str | None = None) -> Ephemeral[Volume]:
        """A volume for one `with` or `async with` block; it is gone after it."""
        block: Any = None

        async def make() -> Volume:
            nonlocal block
            block = _volumes().ephemeral()
            store = await work(block.__enter__)
            return Volume(store.name, mount_path_default=mount_path_default)

        async def delete() -> None:
            await work(lambda: block.__exit__(None, None, None))

        return Ephemeral(make, delete)

    # --- at a path ------------------------------------------------------------------------------

    @property
    def default_path(self) -> str | None:
        """Where it is mounted unless something else is said."""
        return self.mount_path_default

    def mounted_at(self, path: str, *, strict: bool | None = None) -> StorageMount:
        """The volume at a path, for `volumes=[...]` of a function.

        Raises:
            InvalidOption: the path is not absolute, has `..` in it, or belongs to the system.
        """
        volume = self if strict is None else self._with(strict=flag("strict", strict))
        return StorageMount(volume, path, read_only=self.is_read_only, sub_path=self.sub_path)

    def read_only(self) -> Volume:
        """The same volume, which functions cannot write to where it is mounted."""
        return self._with(read_only=True)

    def with_mount_options(
        self, *, read_only: bool | None = None, sub_path: str | None = None
    ) -> Volume:
        """The same volume under other options; with `sub_path` only that folder is mounted.

        Raises:
            PathRefused: `sub_path` leads out.
        """
        return self._with(
            read_only=self.is_read_only if read_only is None else read_only,
            sub_path=self.sub_path if sub_path is None else sub_path,
        )

    def _with(self, **changes: Any) -> Volume:
        kept: dict[str, Any] = {
            "create_if_missing": self.create_if_missing,
            "mount_path_default": self.mount_path_default,
            "strict": self.strict,
            "read_only": self.is_read_only,
            "sub_path": self.sub_path,
        }
        return Volume(self.name, self.backend, **(kept | changes))

    def mount_spec(self, path: str, *, read_only: bool, sub_path: str) -> MountSpec:
        """What a backend must know of it at a path."""
        return MountSpec(
            kind="volume",
            name=self.name,
            path=path,
            read_only=read_only,
            sub_path=sub_path,
            create=self.backend if self.create_if_missing else None,
            strict=self.strict or _all_are_strict(),
        )

    # --- its files ------------------------------------------------------------------------------

    @twin
    async def listdir(self, path: str = "/", *, recursive: bool = False) -> list[VolumeFile]:
        """What is in a folder, as `VolumeFile`s; with `recursive` all that is below it.

        Raises:
            NotFound: there is no such volume.
            FileNotFoundError: there is no such folder.
        """
        return await self._with_files(lambda files: files.listdir(path, recursive=recursive))

    @stream
    def iterdir(self, path: str = "/", *, recursive: bool = False) -> Iteration[VolumeFile]:
        """The same, to iterate over with `for` or `async for`."""
        return pieces(lambda: iter(self._files().listdir(path, recursive=recursive)))

    @stream
    def read_file(self, path: str) -> Iteration[bytes]:
        """The content of a file in pieces of at most 1 MiB, for `for` and for `async for`.

        Raises:
            FileNotFoundError: there is none.
            IsADirectoryError: it is a folder.
        """
        return pieces(lambda: self._files().read(path))

    @twin
    async def read_file_into_fileobj(self, path: str, fileobj: BinaryIO) -> int:
        """Write the content of a file to a binary file object; the number of bytes."""

        def read(files: Any) -> int:
            return sum(fileobj.write(piece) for piece in files.read(path))

        return await self._with_files(read)

    @twin
    async def put_file(self, source: Source, path: str, *, force: bool = False) -> None:
        """Put a file, or what a binary file object gives, at a path; `x/` puts it into `x`.

        Raises:
            FileExistsError: one is there already, and `force` does not say to replace it.
            FileRefused: the source is no plain file.
        """
        await self._with_files(lambda files: files.put_file(source, path, force=force))

    @twin
    async def put_directory(
        self, source: str | os.PathLike[str], path: str = "/", *, force: bool = False
    ) -> None:
        """Put all that is below a folder below a path, all at once. Links stay links.

        Raises:
            FileExistsError: a file is there already, and `force` does not say to replace it.
            FileRefused: there are pipes, devices or sockets in it.
            PathRefused: a link in it leads out.
        """
        await self._with_files(lambda files: files.put_directory(source, path, force=force))

    def batch_upload(self, *, force: bool = False) -> BatchUpload:
        """A block in which files are put; they are there all at once when it ends.

        The block raises `FileExistsError` at its end if a file is there already, unless `force`
        says to replace it. If it is left by an exception, nothing is put.
        """
        flag("force", force)
        return BatchUpload(lambda: self._files().upload(force=force))

    @twin
    async def copy_files(self, sources: list[str], path: str) -> None:
        """Copy files and folders within the volume: into a folder, or one to another name.

        Raises:
            FileNotFoundError: one is not there.
            NotADirectoryError: there are several, and the path is no folder.
        """
        await self._with_files(lambda files: files.copy(sources, path))

    @twin
    async def remove_file(self, path: str, *, recursive: bool = False) -> None:
        """Remove a file, or with `recursive` a folder; of a link, the link.

        Raises:
            FileNotFoundError: there is none.
            IsADirectoryError: it is a folder, and `recursive` does not say so.
        """
        await self._with_files(lambda files: files.remove(path, recursive=recursive))

    @twin
    async def rename(self, old: str, new: str) -> None:
        """Give a file or a folder another path; what is there is replaced.

        Raises:
            FileNotFoundError: there is nothing at `old`.
        """
        await self._with_files(lambda files: files.rename(old, new))

    @twin
    async def stat(self, path: str) -> VolumeFile:
        """What is at a path, as a `VolumeFile`. Raises `FileNotFoundError` if nothing is."""
        return await self._with_files(lambda files: files.stat(path))

    @twin
    async def exists(self, path: str) -> bool:
        """Whether something is at a path."""
        return bool(await self._with_files(lambda files: files.exists(path)))

    # --- its versions ---------------------------------------------------------------------------

    @twin
    async def rev(self) -> int:
        """The number of its newest version: 0 when it was made, one more with each change."""
        return int(await self._with_files(lambda files: files.store.rev))

    @twin
    async def commit(self, *, on_conflict: str = "fail", fence: int = 0) -> int:
        """Inside a function that mounts it: make what was written there the newest version.

        Its number. What others have committed since is then seen here, too, unless files below the
        mount are open. What a function has written is committed by itself when it returns.
        `on_conflict="last_write_wins"` overwrites what others have changed; with the `fence` of a
        lock, nothing is written once somebody has committed under a higher one.

        Raises:
            VolumeConflict: others have changed the same files since.
            Fenced: somebody has taken the lock since.
            VolumeFailed: the disk does not take it; nothing has changed.
        """
        if on_conflict not in ("fail", "last_write_wins"):
            refuse("on_conflict", on_conflict, "'fail' or 'last_write_wins'")
        fence = whole("fence", fence, 0)
        return await self._mounted("commit", lambda at: at.commit(on_conflict, fence))

    @twin
    async def reload(self) -> int:
        """Inside a function that mounts it: see the newest version; its number.

        Raises:
            VolumeBusy: files below the mount are open; their names are in the message.
            UsageError: there is something that has not been committed.
        """
        return await self._mounted("reload", lambda at: at.reload())

    @twin
    async def delete(self) -> None:
        """Delete the volume and all that is in it.

        Raises:
            NotFound: there is none.
            VolumeBusy: functions have it mounted.
        """
        await work(lambda: _volumes().delete(self.name))

    @property
    def aio(self) -> VolumeAio:
        """The same methods, to be awaited."""
        return VolumeAio(self)

    # --- where it is ----------------------------------------------------------------------------

    def _store(self) -> Any:
        volumes = _volumes()
        store = volumes.open(self.name, create=self.backend if self.create_if_missing else None)
        volumes.place(store)
        return store

    def _files(self) -> Any:
        from apothic_backends.volumes.files import Files  # as above  # noqa: PLC0415

        return Files(self._store())

    async def _with_files(self, do: Callable[[Any], T]) -> T:
        return await work(lambda: do(self._files()))

    async def _mounted(self, what: str, do: Callable[[Any], int]) -> int:
        from apothic_backends.volumes.mounts import mounts_of  # as below  # noqa: PLC0415

        mounts = mounts_of(self.name)
        if not mounts:
            raise UsageError(
                f"{what}() belongs into a function that mounts volume {self.name}, and none does "
                "here; put_file() and the like are versions of their own at once"
            )
        return max([await work(lambda at=at: do(at)) for at in mounts])


def _volumes() -> Any:
    from apothic_backends.volumes.local import volumes  # with the first use  # noqa: PLC0415

    return volumes()


def _all_are_strict() -> bool:
    mode = os.environ.get(MODE) or "live"
    if mode not in ("live", "strict"):
        refuse(MODE, mode, "'strict' or 'live'")
    return mode == "strict"


class VolumeAio:
    """The methods of a volume, to be awaited on asyncio or trio."""

    def __init__(self, volume: Volume) -> None:
        self.listdir = volume.listdir.aio
        self.iterdir = volume.iterdir.aio
        self.read_file = volume.read_file.aio
        self.read_file_into_fileobj = volume.read_file_into_fileobj.aio
        self.put_file = volume.put_file.aio
        self.put_directory = volume.put_directory.aio
        self.copy_files = volume.copy_files.aio
        self.remove_file = volume.remove_file.aio
        self.rename = volume.rename.aio
        self.stat = volume.stat.aio
        self.exists = volume.exists.aio
        self.rev = volume.rev.aio
        self.commit = volume.commit.aio
        self.reload = volume.reload.aio
        self.delete = volume.delete.aio
