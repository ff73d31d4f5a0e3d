"""The engines that keep something, and fresh places in them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

from tests.stores.postgres import Server

LASTING = ("sqlite", "postgres", "surrealdb")

_names = itertools.count()


def fresh_name() -> str:
    """The name of a namespace that nobody has used."""
    return f"n{next(_names)}"


def url_of(engine: str, folder: Path, server: Callable[[], Server]) -> str:
    """Where an engine keeps what it keeps: in a folder, or under a name on the one server."""
    return {
        "sqlite": lambda: f"sqlite:{folder / 'state.db'}",
        "postgres": lambda: server().url,
        "surrealdb": lambda: f"surrealkv://{folder / 'surreal'}",
    }[engine]()
