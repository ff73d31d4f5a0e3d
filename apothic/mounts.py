"""The paths at which functions see volumes and buckets."""

from __future__ import annotations

from typing import Any, Protocol

from apothic._values import Value, flag, is_dict, is_list, refuse, text
from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.functions import MountSpec

_SYSTEM = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/sbin"),
    *("/sys", "/usr"),
)
"""Where the system is: nothing may stand there, or below."""
_SHARED = ("/home", "/opt", "/root", "/run", "/tmp", "/var", "/var/tmp")  # noqa: S108 - refused
"""What too much depends on: a mount may stand below, and not in its place."""


class Source(Protocol):
    """What can be mounted."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def default_path(self) -> str | None:
        """Where it is mounted unless something else is said."""
        ...

    def mount_spec(self, path: str, *, read_only: bool, sub_path: str) -> MountSpec:
        """What a backend must know."""
        ...


class StorageMount(Value):
    """A volume or a bucket at a path."""

    source: Source
    path: str
    is_read_only: bool
    sub_path: str

    def __init__(
        self, source: Source, path: str, *, read_only: bool = False, sub_path: str | None = None
    ) -> None:
        super().__init__(
            source=source,
            path=mount_path(path),
            is_read_only=flag("read_only", read_only),
            sub_path=inner_path(sub_path),
        )

    def read_only(self) -> StorageMount:
        """The same, where nothing can be written."""
        return self.with_mount_options(read_only=True)

    def with_mount_options(
        self, *, read_only: bool | None = None, sub_path: str | None = None
    ) -> StorageMount:
        """The same under other options; `sub_path` shows only that folder of it.

        Raises:
            InvalidOption: one cannot be meant.
        """
        return StorageMount(
            self.source,
            self.path,
            read_only=self.is_read_only if read_only is None else read_only,
            sub_path=self.sub_path if sub_path is None else sub_path,
        )

    def spec(self) -> MountSpec:
        """What a backend must know."""
        return self.source.mount_spec(
            self.path, read_only=self.is_read_only, sub_path=self.sub_path
        )


def mount_path(path: str) -> str:
    """Check a path at which storage may appear; without what means nothing in it.

    Raises:
        InvalidOption: it is not absolute, has `..` in it, or is a place of the system.
    """
    parts = text("mount path", path).split("/")
    clean = "/" + "/".join(part for part in parts if part not in ("", "."))
    if parts[0] or clean == "/" or ".." in parts or "\0" in path or "\n" in path:
        refuse("mount path", path, "an absolute path such as '/cache', below '/' and without '..'")
    top = f"/{clean.split('/')[1]}"
    if top in _SYSTEM or clean in _SHARED:
        refuse("mount path", path, "a path of your own such as '/cache': the system needs that one")
    return clean


def inner_path(path: str | None) -> str:
    """Check a path of a folder in a volume; the empty one is all of it.

    Raises:
        PathRefused: it leads out.
    """
    if not path:
        return ""
    from apothic_backends.volumes.paths import inside  # for few programs  # noqa: PLC0415

    return inside(text("sub_path", path))


def mounts_of(name: str, value: Any) -> list[StorageMount]:
    """The mounts of a function as its `volumes=` says them: by path, or each with its own.

    Raises:
        InvalidOption: two paths are said for one, or two mounts would stand in each other.
    """
    if is_dict(value):
        mounts = [_at(name, path, thing) for path, thing in value.items()]
    elif is_list(value):
        mounts = [_with_path(name, thing) for thing in value]
    else:
        refuse(name, value, "a list of what Volume.mounted_at(path) gives, or a dictionary by path")
    for place, mount in enumerate(mounts):
        for other in mounts[:place]:
            _check_apart(name, mount, other)
    _check_hosts(name, mounts)
    return mounts


def specs_of(volumes: Any) -> tuple[MountSpec, ...]:
    """What a backend must know of the mounts that `mounts_of` has given.

    Raises:
        NotBuiltYet: one cannot be mounted yet.
    """
    return tuple(mount.spec() for mount in volumes or ())


def _at(name: str, path: Any, thing: Any) -> StorageMount:
    at = mount_path(path)
    if not isinstance(thing, StorageMount):
        return _with_path(name, thing, at)
    if thing.path != at:
        raise InvalidOption(
            f"{name}: {thing.source.name} is said to be at {at} and, by mounted_at(), at "
            f"{thing.path}; keep one of them",
            option=name,
        )
    return thing


def _with_path(name: str, thing: Any, path: str | None = None) -> StorageMount:
    if isinstance(thing, StorageMount):
        return thing
    if not hasattr(thing, "mount_spec"):
        refuse(name, thing, "what Volume.mounted_at(path) gives")
    source: Source = thing
    where = path or source.default_path
    if where is None:
        raise InvalidOption(
            f"{name}: {source.name} has no path; write .mounted_at('/path'), or make it with "
            "mount_path_default='/path'",
            option=name,
        )
    mounted_at: Any = getattr(thing, "mounted_at")  # noqa: B009 - each kind has its own
    mount: StorageMount = mounted_at(where)
    return mount


def _check_hosts(name: str, mounts: list[StorageMount]) -> None:
    """Each volume that stays on a host may be on another one: a function can be at one of them."""
    local = [it.source.name for it in mounts if getattr(it.source, "backend", "") == "vast_local"]
    if len({*local}) > 1:
        raise InvalidOption(
            f"{name}: {' and '.join(local)} are vast_local, and stay on the hosts where they were "
            "first mounted; one of them only can be mounted, let the others be portable",
            option=name,
        )


def _check_apart(name: str, one: StorageMount, other: StorageMount) -> None:
    if one.path == other.path:
        raise InvalidOption(f"{name}: two are mounted at {one.path}", option=name)
    inner, outer = sorted((one.path, other.path), key=len, reverse=True)
    if inner.startswith(f"{outer}/"):
        raise InvalidOption(
            f"{name}: {inner} is inside of {outer}, where another one is mounted; choose paths "
            "that are apart",
            option=name,
        )
