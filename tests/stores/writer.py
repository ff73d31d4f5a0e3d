"""A program that commits and says so, for tests that kill it: `python -m tests.stores.writer`.

Commit n puts `head` and `n/0 … n/3`, and drops those of commit n - 4, so that half of a commit
would be seen. It says n on stdout once n is acknowledged.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from apothic_emulator.stores.base import Change
from apothic_emulator.stores.opening import open_store

WIDTH = 4
DEPTH = 4


def changes(n: int) -> list[Change]:
    """What commit n changes."""
    puts: list[Change] = [(f"{n}/{i}", b"%d" % n * (i * 300 + 1)) for i in range(WIDTH)]
    drops: list[Change] = [(f"{n - DEPTH}/{i}", None) for i in range(WIDTH)]
    return [("head", b"%d" % n), *puts, *drops]


def state(n: int) -> dict[str, bytes]:
    """What a store holds after commit n."""
    held: dict[str, bytes] = {}
    for commit in range(1, n + 1):
        for key, value in changes(commit) if commit > n - 2 * DEPTH else ():
            held.pop(key, None)
            if value is not None:
                held[key] = value
    return held


def main(url: str, folder: str, namespace: str, first: int, last: int) -> None:
    """Commit from `first` to `last`."""
    store = open_store(url, Path(folder), namespace)
    store.open()
    store.load()
    os.write(1, b"0\n")
    for n in range(first, last + 1):
        store.commit(changes(n))
        os.write(1, b"%d\n" % n)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
