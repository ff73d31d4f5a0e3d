"""An engine whose records are checked, and whose large values are files beside it.

What an engine holds of a record is `checksum(4) kind(1) data`. The checksum covers the key, so that
a record which turns up under another key, or half of one, is noticed wherever it was damaged.
"""

from __future__ import annotations

from binascii import crc32
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from apothic_backends.model.errors import StoreCorrupt, StoreFull
from apothic_emulator.stores.base import Change, Engine, Found, way_out
from apothic_emulator.stores.blobs import Blobs
from apothic_emulator.stores.disk import full, room_in
from apothic_emulator.stores.ownership import forget
from apothic_emulator.stores.reserve import Reserve

LARGE = 1 << 20
"""Bytes; a longer value becomes a file, where the engine has a place for files."""

_INLINE, _BLOB = b"i", b"b"
_HEAD = 5


class Store:
    """What the control plane keeps its state in. Used by one thread at a time."""

    def __init__(
        self,
        engine: Engine,
        blobs: Blobs | None = None,
        archives: Path | None = None,
        reserve: Reserve | None = None,
        owner: Path | None = None,
    ) -> None:
        self.engine = engine
        self.reserve = reserve
        """Room that the engine has for when there is no other."""
        self.archives = archives
        """Where archives of code lie, which go with the state: none of it is in the engine."""
        self._owner = owner
        """The file that says who owns it, where there is one."""
        self._blobs = blobs
        self._named: dict[str, str] = {}
        """The records that are files, and the names of those."""
        self._uses: Counter[str] = Counter()

    @property
    def durability(self) -> str:
        """What an acknowledged change outlives: "process", "disk" or "server"."""
        return self.engine.durability

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return self.engine.place

    @property
    def is_full(self) -> bool:
        """Whether nothing is to be added, because there is hardly any room left."""
        return self.reserve is not None and not self.reserve.is_held

    def refusal(self) -> StoreFull | None:
        """Why nothing is to be added now; None if there is room, or there is room again."""
        if self.reserve is None or self.reserve.take():
            return None
        return full(self.reserve.path.parent, f"less than {self.reserve.nbytes >> 20} MiB")

    def too_large(self, nbytes: int) -> StoreFull | None:
        """Why so much cannot be kept in files now; None if there is room, or it needs no file."""
        if self._blobs is None or room_in(self._blobs.folder.parent) >= nbytes + LARGE:
            return None
        return full(self._blobs.folder.parent, f"less than {(nbytes + LARGE) >> 20} MiB")

    def forget(self) -> None:
        """Before it is opened: it was put back from a copy, and may hold less than it did.

        Raises:
            StoreLocked: somebody uses it.
        """
        if self._owner is not None:
            forget(self._owner)

    def open(self) -> int:
        """Take ownership, as `Engine.open`."""
        return self.engine.open()

    def load(self) -> list[Found]:
        """All records, in no particular order.

        Raises:
            StoreCorrupt: one of them is not as it was written.
        """
        self._named.clear()
        self._uses.clear()
        found = [(key, self._unseal(key, sealed)) for key, sealed in self.engine.load()]
        if self._blobs is not None:
            self._blobs.keep_only(self._uses.keys())
        return found

    def commit(self, changes: Sequence[Change]) -> None:
        """Keep all changes or none, durably, as `Engine.commit`; of a key's, the last counts."""
        named: dict[str, str] = {}
        sealed: list[Change] = [
            (key, None if value is None else self._seal(key, value, named))
            for key, value in dict(changes).items()
        ]
        self.engine.commit(sealed)
        if named or self._named:
            self._rename([key for key, _ in sealed], named)

    def close(self) -> None:
        """Give ownership back; idempotent."""
        self.engine.close()

    def _seal(self, key: str, value: bytes, named: dict[str, str]) -> bytes:
        kind = _INLINE
        if len(value) > LARGE and self._blobs is not None:
            named[key] = digest = self._blobs.put(value)
            kind, value = _BLOB, digest.encode()
        return _checksum(key, kind, value) + kind + value

    def _unseal(self, key: str, sealed: bytes) -> bytes:
        is_text = isinstance(key, str) and isinstance(sealed, bytes)  # type: ignore[redundant-expr]
        kind, value = (sealed[4:_HEAD], sealed[_HEAD:]) if is_text else (b"", b"")
        if not kind or _checksum(key, kind, value) != sealed[:4]:
            raise StoreCorrupt(
                f"a record in {self.place} is damaged ({key!r:.60}). Nothing of it was used. "
                f"{way_out(self.place)}"
            )
        if kind == _BLOB and self._blobs is not None:
            digest = value.decode()
            self._named[key] = digest
            self._uses[digest] += 1
            return self._blobs.get(digest)
        return value

    def _rename(self, keys: Sequence[str], named: dict[str, str]) -> None:
        """Files of records that have changed are collected with their last name."""
        before = [self._named.pop(key) for key in keys if key in self._named]
        self._named |= named
        self._uses.update(named.values())
        self._uses.subtract(before)
        for digest in set(before):
            if not self._uses[digest] and self._blobs is not None:
                del self._uses[digest]
                self._blobs.drop(digest)


def blobs_named_in(sealed: Iterable[Found]) -> set[str]:
    """The names of the files that records of an engine are."""
    values = (value for _, value in sealed)
    return {value[_HEAD:].decode() for value in values if value[4:_HEAD] == _BLOB}


def _checksum(key: str, kind: bytes, value: bytes) -> bytes:
    return crc32(value, crc32(kind, crc32(key.encode()))).to_bytes(4, "little")
