"""What was generated before, by its identity: in this process, or below this user's own folder.

    APOTHIC_HOME/liv/NAMESPACE/IDENTITY.json     one artefact
    APOTHIC_HOME/liv/NAMESPACE/IDENTITY.lock     held by whoever generates it

A namespace is of one account: this user's, or the one of a key at a control plane. Code is checked
anew by whoever takes it from here, and what is not as it was written is not there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Lock
from typing import Any, Protocol

from apothic.generation.artifacts import Artifact, artifact_of
from apothic.generation.config import LivConfig
from apothic_backends.connection import connect
from apothic_backends.home import home

MOST_BYTES = 1 << 20
"""No artefact is larger."""


class Cache(Protocol):
    """Artefacts by their identity."""

    def get(self, identity: str) -> Artifact | None:
        """The one of that identity, if it is there as it was written."""
        ...

    def put(self, artifact: Artifact) -> None:
        """Keep one, in place of another of its identity."""
        ...

    def only_one(self, identity: str) -> Any:
        """Hold the right to generate one, as a context; others wait for it."""
        ...


class MemoryCache:
    """What this process has generated."""

    def __init__(self) -> None:
        self._kept: dict[str, Artifact] = {}
        self._lock = Lock()

    def get(self, identity: str) -> Artifact | None:
        """The one of that identity."""
        return self._kept.get(identity)

    def put(self, artifact: Artifact) -> None:
        """Keep one."""
        self._kept[artifact.identity] = artifact

    @contextmanager
    def only_one(self, identity: str) -> Generator[None]:
        """One thread generates at a time."""
        with self._lock:
            yield


class DiskCache:
    """What any process of this user has generated, in a namespace."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, identity: str) -> Artifact | None:
        """The one of that identity, if it is there as it was written."""
        try:
            with (self._folder / f"{identity}.json").open("rb") as file:
                told = json.loads(file.read(MOST_BYTES))
        except (OSError, ValueError):
            return None
        artifact = artifact_of(told)
        return artifact if artifact is not None and artifact.identity == identity else None

    def put(self, artifact: Artifact) -> None:
        """Keep one, whole or not at all."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=self._folder, suffix=".part", delete=False) as file:
            json.dump(artifact.to_json(), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(self._folder / f"{artifact.identity}.json")

    @contextmanager
    def only_one(self, identity: str) -> Generator[None]:
        """One process generates it; the others wait, and find it."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._folder / f"{identity}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


_memory = MemoryCache()


def cache_of(config: LivConfig, app_name: str) -> Cache:
    """The cache that a configuration asks for."""
    if config.cache == "memory":
        return _memory
    parts = [account()]
    if config.cache == "app":
        parts += ["app", app_name]
    if config.cache == "custom":
        parts += ["custom", config.cache_namespace or ""]
    return DiskCache(folder().joinpath("-".join(map(_plain, parts))))


def folder() -> Path:
    """Where all namespaces are."""
    return home() / "liv"


def account() -> str:
    """Whose artefacts these are: this user's, or those of a key at a control plane."""
    connection = getattr(connect(), "connection", None)
    if connection is None:
        return "local"
    whose = f"{connection.address.origin} {connection.key}"
    return f"{connection.address.host}_{hashlib.sha256(whose.encode()).hexdigest()[:16]}"


def _plain(text: str) -> str:
    """A text as a part of a file's name, which no other text has."""
    plain = re.sub(r"[^A-Za-z0-9_.]", "_", text)[:64]
    return plain if plain == text else f"{plain}~{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def kept() -> Iterator[tuple[str, Path, Artifact]]:
    """All that is on the disk, with the namespace and the file of each."""
    for path in sorted(folder().glob("*/*.json")):
        artifact = DiskCache(path.parent).get(path.stem)
        if artifact is not None:
            yield path.parent.name, path, artifact
