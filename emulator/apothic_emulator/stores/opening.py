"""Which store a URL stands for.

| URL                         | where the records are                                        |
|-----------------------------|--------------------------------------------------------------|
| `memory`                    | nowhere                                                      |
| `sqlite`                    | `.apothic/state/NAMESPACE/state.db` below the project        |
| `sqlite:PATH`               | that file                                                    |
| `postgresql://…`            | tables of that database, under the name of the namespace     |
| `surrealkv://PATH`          | that folder                                                  |
| `surrealdb+ws://host/ns/db` | that database; `surrealdb+wss://` too                        |
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from apothic_backends.model.errors import InvalidOption
from apothic_emulator.stores.base import Engine
from apothic_emulator.stores.blobs import Blobs
from apothic_emulator.stores.memory import MemoryEngine
from apothic_emulator.stores.store import Store

SCHEMES = (
    "memory",
    "sqlite",
    "sqlite:PATH",
    "postgresql://…",
    "surrealkv://PATH",
    "surrealdb+ws://host/ns/db",
)
NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def open_store(url: str, folder: Path, namespace: str = "default") -> Store:
    """The store that a URL stands for, not opened yet; `folder` is the namespace's own.

    Raises:
        InvalidOption: there is no such store, or what it needs is not installed.
    """
    check_namespace(namespace)
    scheme, _, rest = url.partition(":")
    if url == "memory":
        return Store(MemoryEngine())
    if scheme == "sqlite":
        return _sqlite(Path(rest).expanduser() if rest else folder / "state.db")
    if scheme in ("postgresql", "postgres"):
        return Store(_postgres(url, namespace))
    if scheme == "surrealkv" and rest.strip("/"):
        path = Path(rest.removeprefix("//")).expanduser().absolute()
        surreal = _class("surreal", "SurrealEngine", "surrealdb")
        engine = surreal(f"surrealkv://{path}", "apothic", "state", str(path))
        blobs = Blobs(path.with_name(path.name + ".blobs"))
        archives, owner = (path.with_name(path.name + it) for it in (".archives", ".owner"))
        return Store(engine, blobs, archives, owner=owner)
    if scheme in ("surrealdb+ws", "surrealdb+wss"):
        return Store(_surreal_server(url))
    raise InvalidOption(
        f"{_without_password(url)!r} is no place for state; there are: {', '.join(SCHEMES)}",
        option="state",
    )


def check_namespace(namespace: str) -> None:
    """See to it that a namespace can be a folder and a name.

    Raises:
        InvalidOption: it cannot.
    """
    if not NAMESPACE.fullmatch(namespace) or namespace.startswith("."):
        raise InvalidOption(
            f"the namespace {namespace!r}: up to 64 letters, digits, '.', '_' and '-', and the "
            "first is a letter or a digit",
            option="namespace",
        )


def _sqlite(path: Path) -> Store:
    from apothic_emulator.stores.sqlite import SqliteEngine, beside  # noqa: PLC0415 - 5 ms

    path = path.absolute()
    engine, blobs = SqliteEngine(path), Blobs(beside(path, ".blobs"))
    owner = engine.ownership.path
    return Store(engine, blobs, beside(path, ".archives"), engine.reserve, owner)


def _postgres(url: str, namespace: str) -> Engine:
    engine: Engine = _class("postgres", "PostgresEngine", "psycopg")(url, namespace)
    return engine


def _surreal_server(url: str) -> Engine:
    parts = urlsplit(url)
    names = parts.path.strip("/").split("/")
    if not parts.hostname or len(names) != 2 or not all(names):  # noqa: PLR2004
        raise InvalidOption(
            f"{_without_password(url)!r}: it has to be surrealdb+ws://host:port/namespace/database",
            option="state",
        )
    place = f"{parts.scheme}://{parts.hostname}{parts.path}"
    at = f"{parts.scheme.removeprefix('surrealdb+')}://{parts.netloc.rpartition('@')[2]}"
    surreal = _class("surreal", "SurrealEngine", "surrealdb")
    engine: Engine = surreal(at, *names, place, user=parts.username, password=parts.password)
    return engine


_EXTRAS = {"psycopg": "postgres", "surrealdb": "surrealdb"}


def _class(module: str, name: str, needs: str) -> Callable[..., Any]:
    """The class of an engine, if what it needs is installed."""
    if find_spec(needs) is None:
        raise _not_installed(needs, "it is not installed")
    try:
        there = import_module(f"apothic_emulator.stores.{module}")
    except ImportError as error:
        raise _not_installed(needs, str(error)) from error
    found: Callable[..., Any] = getattr(there, name)
    return found


def _not_installed(needs: str, why: str) -> InvalidOption:
    extra = _EXTRAS[needs]
    return InvalidOption(
        f"state in {extra} needs {needs!r}, which cannot be imported: {why}. "
        f"pip install 'apothic[{extra}]'",
        option="state",
    )


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//…@", url)
