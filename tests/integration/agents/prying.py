"""Code that looks for what is none of its business."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")


def pry(pid: int, backwards: str) -> dict[str, list[str]]:
    """Where a secret is found, and which places could be read at all; it comes backwards."""
    secret = backwards[::-1].encode()
    told: dict[str, list[str]] = {"read": [], "found": []}
    for name, pieces in {
        "cmdline": _file(PROC / f"{pid}/cmdline"),
        "environ": _file(PROC / f"{pid}/environ"),
        "mem": _memory(pid),
        "own environ": _file(PROC / "self/environ"),
        "ps": _everybody(),
    }.items():
        try:
            if sum(secret in piece for piece in pieces):  # all are looked at
                told["found"].append(name)
            told["read"].append(name)
        except OSError:
            continue
    return told


def _file(path: Path) -> Iterator[bytes]:
    yield path.read_bytes()


def _memory(pid: int) -> Iterator[bytes]:
    maps = (PROC / f"{pid}/maps").read_text().splitlines()
    with (PROC / f"{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            begin, end = (int(part, 16) for part in span.split("-"))
            if rights.startswith("r") and "[v" not in line:
                memory.seek(begin)
                yield memory.read(end - begin)


def _everybody() -> Iterator[bytes]:
    for one in PROC.iterdir():
        if one.name.isdigit():
            for what in ("cmdline", "environ"):
                try:
                    yield (one / what).read_bytes()
                except OSError:
                    continue
