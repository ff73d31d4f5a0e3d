"""The namespaces of a project: states side by side, of which programs use one.

A state that is being copied stays one: while nobody uses it, the copy is made by its owner, that is
us; while somebody does, SQLite's backup gives a moment between two commits. Copies are made beside
their place, read through once, and then moved there, so that there is never half of one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import IO

from apothic_backends.model.errors import (
    NotFound,
    StoreCorrupt,
    StoreError,
    StoreLocked,
    UsageError,
)
from apothic_backends.model.record import Record
from apothic_backends.project import DEFAULT, choose, chosen, namespace, own_folder, state_folder
from apothic_emulator.stores.base import Change
from apothic_emulator.stores.blobs import is_digest
from apothic_emulator.stores.disk import fsync_folder, writing
from apothic_emulator.stores.opening import check_namespace, open_store
from apothic_emulator.stores.ownership import Ownership, is_owned
from apothic_emulator.stores.store import blobs_named_in

FILE = "state.db"
BLOBS = "state.db.blobs"
ARCHIVES = "state.db.archives"
OWNER = "state.db.owner"
RESERVE = "state.db.reserve"
PUT_BACK: Change = ("last/4", b"1")
"""Says to the next control plane that numbers were given which it does not know of."""

_TRIES = 5
"""Copies of a state in use, until no large value goes while it is copied."""


class Namespace(Record):
    """One of the states of a project."""

    name: str
    path: str
    is_current: bool
    is_in_use: bool
    nbytes: int


def listed(root: Path) -> list[Namespace]:
    """Every namespace, by name; the default one and the one in use are always among them."""
    place = root / ".apothic" / "state"
    there = [path.name for path in place.iterdir()] if place.is_dir() else []
    current = namespace(root)
    names = {name for name in there if not name.startswith(".")} | {DEFAULT, current}
    return [_look(root, name, current) for name in sorted(names)]


def _look(root: Path, name: str, current: str) -> Namespace:
    folder = state_folder(root, name)
    held = (path for path in folder.rglob("*") if path.is_file() and path.name != RESERVE)
    sizes = [path.stat().st_size for path in held]
    in_use = is_owned(folder / OWNER)
    return Namespace(name, str(folder), name == current, in_use, sum(sizes))


def switch(root: Path, wanted: str, *, create: bool = False) -> str:
    """Have later programs use a namespace, `-` for the one before; gives its name.

    Raises:
        NotFound: there is none of that name, and none is to be made.
        UsageError: it is there already and was to be made, or the environment chooses another.
    """
    current, before = chosen(root)
    name = before if wanted == "-" else wanted
    check_namespace(name)
    is_there = name == DEFAULT or state_folder(root, name).is_dir()
    if create and is_there:
        raise UsageError(f"the namespace {name!r} is there already: switch to it without -c")
    if not is_there and not create:
        raise NotFound(
            f"no namespace {name!r} here; `apothic state switch -c {name}` makes it",
            known=[found.name for found in listed(root)],
        )
    if os.environ.get("APOTHIC_NAMESPACE", name) != name:
        stands = os.environ["APOTHIC_NAMESPACE"]
        raise UsageError(f"APOTHIC_NAMESPACE={stands} is set and would stand over this: unset it")
    own_folder(root, "state", name)
    if name != current:
        choose(root, name, current)
    return name


def fork(root: Path, source: str, target: str) -> Path:
    """Copy a namespace, in use or not, to one that is not there; gives its folder."""
    folder = state_folder(root, target)
    check_namespace(target)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"the namespace {target!r} is there already: reset it, or name another")
    with _made_beside(root, target) as copy:
        _copy(_existing(root, source), copy)
    return folder


def save(root: Path, source: str, path: Path) -> Path:
    """Copy a namespace, in use or not, into one file; a file that is there is replaced."""
    path = path.absolute()
    part = path.with_name(f"{path.name}.part")
    with _scratch(root) as copy, writing(path.parent):
        _copy(_existing(root, source), copy)
        try:
            with part.open("wb") as file:
                _pack(copy, file)
                file.flush()
                os.fsync(file.fileno())
            part.chmod(0o600)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    return path


def load(root: Path, path: Path, target: str) -> Path:
    """Put what was saved in the place of a namespace; gives its folder.

    Raises:
        StoreLocked: somebody uses it.
        StoreCorrupt: the file is not one that `save` has made; the namespace is as it was.
    """
    check_namespace(target)
    with _made_beside(root, target) as copy:
        _unpack(path, copy)
        _read_through(copy, [PUT_BACK])
    return state_folder(root, target)


def reset(root: Path, name: str) -> None:
    """Forget everything in a namespace.

    Raises:
        StoreLocked: somebody uses it.
    """
    folder = _existing(root, name)
    with _owning(folder):
        shutil.rmtree(folder)


def holds_something(root: Path, name: str) -> bool:
    """Whether there is anything to lose."""
    return (state_folder(root, name) / FILE).exists()


# --- copies ---------------------------------------------------------------------------------------


def _existing(root: Path, name: str) -> Path:
    check_namespace(name)
    folder = state_folder(root, name)
    if not folder.is_dir():
        raise NotFound(f"nothing is kept in the namespace {name!r}: {folder} is not there")
    return folder


def _copy(source: Path, target: Path) -> None:
    """Copy a state, and see to it that the copy is whole."""
    if not (source / FILE).exists():
        return
    for last in (False,) * (_TRIES - 1) + (True,):
        _back_up(source / FILE, target / FILE)
        blobs = blobs_named_in(_values(target / FILE))
        if _link_files(source / BLOBS, target / BLOBS, blobs):
            break
        if last:
            raise StoreError(f"{source} changes too fast to be copied: end what uses it")
    _read_through(target)
    if (source / ARCHIVES).is_dir():
        whole = {path.name for path in (source / ARCHIVES).iterdir() if is_digest(path.name)}
        _link_files(source / ARCHIVES, target / ARCHIVES, whole)


def _back_up(source: Path, target: Path) -> None:
    """Copy the file by a reader, who never writes or folds the log."""
    target.unlink(missing_ok=True)
    with contextlib.ExitStack() as open_:
        store = open_store(f"sqlite:{source}", source.parent)
        with contextlib.suppress(StoreLocked):
            store.open()
            open_.callback(store.close)
            store.load()  # so that what is damaged is not copied
        try:
            reader = open_.enter_context(contextlib.closing(_reading(source)))
            writer = open_.enter_context(contextlib.closing(sqlite3.connect(target)))
            reader.backup(writer)
        except sqlite3.Error as error:
            raise StoreCorrupt(f"{source} cannot be copied: {error}", path=str(source)) from error
    target.chmod(0o600)


def _reading(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)


def _values(path: Path) -> Iterator[tuple[str, bytes]]:
    with contextlib.closing(_reading(path)) as db:
        yield from db.execute("SELECT key, value FROM records")


def _link_files(source: Path, folder: Path, digests: set[str]) -> bool:
    """Give the copy its large files, which never change; False if one has gone meanwhile."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for digest in digests:
        if (folder / digest).exists():
            continue
        try:
            os.link(source / digest, folder / digest)
        except FileNotFoundError:
            return False
        except OSError:
            shutil.copyfile(source / digest, folder / digest)
    return True


def _read_through(folder: Path, notes: Sequence[Change] = ()) -> None:
    """See to it that a copy can be read as a whole, and write down in it what there is to note.

    Raises:
        StoreCorrupt: it cannot.
    """
    if not (folder / FILE).exists():
        return
    store = open_store(f"sqlite:{folder / FILE}", folder)
    try:
        store.open()
        store.load()
        if notes:
            store.commit(notes)
    finally:
        store.close()
    for name in (OWNER, RESERVE):
        (folder / name).unlink(missing_ok=True)


@contextlib.contextmanager
def _scratch(root: Path) -> Generator[Path]:
    """A folder beside the namespaces that is gone afterwards."""
    folder = own_folder(root, "state", f".copy-{os.getpid()}")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _made_beside(root: Path, name: str) -> Generator[Path]:
    """A folder that takes the place of a namespace once it is filled."""
    folder = state_folder(root, name)
    with _scratch(root) as copy, writing(folder.parent):
        yield copy
        old = copy.with_name(f"{copy.name}-old")
        with _owning(folder) if folder.exists() else contextlib.nullcontext():
            if folder.exists():
                folder.rename(old)
            copy.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
        fsync_folder(folder.parent)


@contextlib.contextmanager
def _owning(folder: Path) -> Generator[None]:
    """Own a namespace for a while.

    Raises:
        StoreLocked: somebody uses it.
    """
    ownership = Ownership(folder / OWNER)
    try:
        ownership.take()
    except StoreCorrupt:
        pass  # it is thrown away, or read through, in any case
    try:
        yield
    finally:
        ownership.give_back()


# --- one file -------------------------------------------------------------------------------------


def _pack(folder: Path, file: IO[bytes]) -> None:
    with tarfile.open(fileobj=file, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.add(path, str(path.relative_to(folder)), recursive=False)


def _unpack(path: Path, folder: Path) -> None:
    """Take out of an archive what belongs in one of ours, and refuse all else."""
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                _take_out(archive, member, folder, path)
    except tarfile.TarError as error:
        raise StoreCorrupt(f"{path} was not made by `apothic state save`: {error}") from error
    except FileNotFoundError as error:
        raise NotFound(f"{path} is not there") from error


def _take_out(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, path: Path) -> None:
    place, _, name = member.name.rpartition("/")
    is_ours = member.name == FILE or (place in (BLOBS, ARCHIVES) and is_digest(name))
    data = archive.extractfile(member) if is_ours and member.isreg() else None
    if data is None:
        raise StoreCorrupt(f"{path} was not made by `apothic state save`: {member.name!r:.80}")
    target = folder / member.name
    target.parent.mkdir(mode=0o700, exist_ok=True)
    with target.open("xb") as file:
        shutil.copyfileobj(data, file)
        file.flush()
        os.fsync(file.fileno())
    target.chmod(0o600)
