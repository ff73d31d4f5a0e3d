"""Which scopes open which path; what is not listed is for nobody.

A path that there is not is answered as such only to those who may ask for anything at all.
"""

from __future__ import annotations

from collections.abc import Mapping

from apothic_emulator.server.keys import Key

OPEN = frozenset({"/healthz", "/"})
"""What needs no key: whether the server is up, and a page that is the same everywhere."""

CLIENTS = frozenset({"admin", "run", "read"})
"""The scopes of people and programs."""


PAGES = "/v2/domain/"
"""Where the pages of apps are, for browsers."""


def is_page(path: str) -> bool:
    """Whether a path is that of a page about an app."""
    return path.startswith(PAGES)


class Access:
    """What each path needs."""

    def __init__(self, needs: Mapping[str, frozenset[str]]) -> None:
        self._needs = dict(needs)

    def is_open(self, path: str, method: str, query: bytes) -> bool:
        """Whether a path is for everybody, by that method; with a query, which may be a key, no."""
        return path in OPEN and method in ("GET", "HEAD") and not query

    def allows(self, key: Key, path: str) -> bool:
        """Whether a key opens a path."""
        return bool(self._needs.get(path, CLIENTS).intersection(key.scopes))
