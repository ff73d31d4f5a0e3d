"""The secrets of this user, in one file of the home directory: names in clear, values sealed.

    secrets.json   0600, replaced as a whole, so that nothing of an old value stays in it
    secrets.key    0600, unless the key is in the desktop's keyring
    secrets.lock   held while the file is changed

Each secret has a revision, drawn anew whenever it changes: whoever has read it can tell cheaply
whether that still holds.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from apothic_backends.home import home
from apothic_backends.model.errors import SecretStoreRefused
from apothic_backends.model.secrets import check_name, check_values
from apothic_backends.sealing import Seal, choose, read_private, seal_of, write_private

_SCHEMA = "apothic.secrets.v1"


class Entry(NamedTuple):
    """A secret as it lies in the file."""

    revision: str
    keys: tuple[str, ...]
    sealed: str


class _Book(NamedTuple):
    """The whole file: where its key is, and every secret by name."""

    kind: str
    key_id: str
    entries: dict[str, Entry]


class Vault:
    """The secrets in one directory; None is this user's home directory."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = home() if folder is None else folder
        self._path = folder / "secrets.json"
        self._key_path = folder / "secrets.key"
        self._lock_path = folder / "secrets.lock"
        self._seals: dict[str, Seal] = {}
        self._seen: object = ()
        self._entries: dict[str, Entry] = {}

    def entries(self) -> dict[str, Entry]:
        """Every secret by name, as it is now; read again only if the file is another one.

        Raises:
            SecretStoreRefused: the file is broken, or others can read it.
        """
        signature = self._signature()
        if signature != self._seen:
            book = self._read()
            self._entries = book.entries if book is not None else {}
            self._seen = signature
        return self._entries

    def read(self, names: Iterable[str]) -> dict[str, tuple[str, dict[str, str]]]:
        """The revision and the values of these secrets, without those that are not there.

        Raises:
            SecretStoreRefused: the file cannot be read, or its key is not there.
        """
        book = self._read()
        if book is None:
            return {}
        return {
            name: (book.entries[name].revision, self._open(book, name))
            for name in names
            if name in book.entries
        }

    def put(self, name: str, values: Mapping[str, Any]) -> None:
        """Set these keys of a secret and keep its others.

        Raises:
            InvalidOption: it cannot be called so, or a value is no string.
            SecretStoreRefused: the file cannot be read or written.
        """
        check_name(name)
        good = check_values(values)
        with self._changing() as book:
            before = self._open(book, name) if name in book.entries else {}
            self._put(book, name, {**before, **good})

    def delete(self, name: str, keys: Iterable[str] = ()) -> bool:
        """Forget a secret, or some of its keys; whether there was anything to forget.

        Raises:
            SecretStoreRefused: the file cannot be read or written.
        """
        gone = set(keys)
        with self._changing() as book:
            if name not in book.entries or (gone and gone.isdisjoint(book.entries[name].keys)):
                return False
            left = {k: v for k, v in self._open(book, name).items() if gone and k not in gone}
            if left:
                self._put(book, name, left)
            else:
                del book.entries[name]
        return True

    # --- the file -------------------------------------------------------------------------------

    def _signature(self) -> object:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size

    def _read(self) -> _Book | None:
        data = read_private(self._path)
        if data is None:
            return None
        try:
            told = json.loads(data)
            entries = {
                str(name): Entry(str(one["revision"]), tuple(one["keys"]), str(one["sealed"]))
                for name, one in told[_SCHEMA].items()
            }
            return _Book(str(told["key"]), str(told["key_id"]), entries)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SecretStoreRefused(
                f"{self._path} is not a file of secrets that this version can read; move it away "
                "and set the secrets again"
            ) from error

    @contextmanager
    def _changing(self) -> Generator[_Book]:
        """The file to be changed, while nobody else changes it; written if nothing is raised."""
        try:
            fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                book = self._read() or _Book(choose(), os.urandom(8).hex(), {})
                before = dict(book.entries)
                yield book
                if book.entries != before:
                    self._write(book)
            finally:
                os.close(fd)
        except OSError as error:
            raise SecretStoreRefused(
                f"{self._path} cannot be written: {error.strerror or error}"
            ) from error

    def _write(self, book: _Book) -> None:
        secrets = {name: entry._asdict() for name, entry in sorted(book.entries.items())}
        told = {"key": book.kind, "key_id": book.key_id, _SCHEMA: secrets}
        write_private(self._path, json.dumps(told, indent=1).encode())

    # --- values ---------------------------------------------------------------------------------

    def _put(self, book: _Book, name: str, values: dict[str, str]) -> None:
        revision = os.urandom(8).hex()
        seal = self._seal(book, create=not book.entries)
        sealed = seal.close(json.dumps(values).encode(), _about(name, revision))
        book.entries[name] = Entry(revision, tuple(sorted(values)), sealed)

    def _open(self, book: _Book, name: str) -> dict[str, str]:
        entry = book.entries[name]
        seal = self._seal(book, create=False)
        found: dict[str, str] = json.loads(seal.open(entry.sealed, _about(name, entry.revision)))
        return found

    def _seal(self, book: _Book, *, create: bool) -> Seal:
        seal = self._seals.get(book.key_id)
        if seal is None:
            seal = seal_of(book.kind, book.key_id, self._key_path, create=create)
            self._seals[book.key_id] = seal
        return seal


def _about(name: str, revision: str) -> bytes:
    """What a sealed value belongs to, so that it cannot be passed off as another's."""
    return f"{_SCHEMA}\0{name}\0{revision}".encode()
