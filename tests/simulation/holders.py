"""What a second pair of eyes knows of locks, leases, guarded writes and a whole dict."""

from __future__ import annotations

from typing import Any, Protocol

from apothic_backends.commands.dicts import (
    AcquireLock,
    GetKeys,
    PutKey,
    ReadDict,
    RenewKey,
    RenewLock,
)
from apothic_emulator.core.facts import Asked, Input
from apothic_emulator.core.plane import Plane
from tests.simulation.history import sure

GUARDED = '"guarded"'
LOCKS = (("lock", '"l"'), ("term", '"chief"'))
LATE_S = 1.0


class Watched(Protocol):
    """The run that is looked at."""

    now: float
    plane: Plane
    reached: Any
    stood_still: list[tuple[float, float]]


class Holders:
    """What a second pair of eyes knows of locks, leases, guarded writes and the whole dict."""

    def __init__(self, world: Watched) -> None:
        self.world = world
        self.held: dict[tuple[str, str], tuple[int, float, float]] = {}
        """The fence of each, when its lease began last, and how long that is."""
        self.latest: dict[tuple[str, str], int] = {}
        self.line: dict[tuple[str, str], list[int]] = {place: [] for place in LOCKS}
        self.counts: dict[str, int] = {}
        self.leases: dict[str, tuple[float, float]] = {}
        self.mirror: dict[str, bytes] = {}
        self._commands: dict[int, Any] = {}
        self._kept = self._all()

    def _all(self) -> tuple[Any, ...]:
        """All that a restart leaves as it is."""
        return tuple(
            {**it} for it in (self.held, self.latest, self.counts, self.leases, self.mirror)
        )

    def committed(self) -> None:
        """What was decided up to here stands."""
        self._kept = self._all()

    def asked(self, item: Asked) -> None:
        """The core is about to hear a command."""
        command: Any = item.command
        assert isinstance(item.token, int)
        self._commands[item.token] = command
        if isinstance(command, AcquireLock):
            self.line[command.kind, command.key].append(item.token)

    def gives_up(self, token: object) -> None:
        """Somebody waits no more."""
        for line in self.line.values():
            if token in line:
                line.remove(token)  # type: ignore[arg-type]

    def replied(self, token: int, value: Any, error: BaseException | None) -> None:
        """The core has decided."""
        command, now = self._commands.pop(token, None), self.world.now
        if isinstance(command, AcquireLock):
            self._acquired(command, token, value)
        elif isinstance(command, RenewKey) and value:
            self.leases[command.key] = now, command.lease_s
        elif isinstance(command, PutKey) and command.fence is not None and error is None:
            before, after = self.counts.get(command.key, 0), int(command.value.data)
            sure(after == before + 1, "F", "%d was counted after %d", after, before)
            self.counts[command.key] = after
            is_held = any(held[0] == command.fence for held in self.held.values())
            sure(is_held, "F", "%s wrote with an old fence", command)

    def stepped(self, item: Input) -> None:
        """Renewing counts from here, also if the reply comes when it is time for the next."""
        command: Any = item.command if isinstance(item, Asked) else None
        if isinstance(command, RenewLock):
            place = command.kind, command.key
            held = self.held.get(place)
            if held is not None and held[0] == command.fence:
                self.held[place] = command.fence, self.world.now, held[2]

    def _acquired(self, command: AcquireLock, token: int, fence: int | None) -> None:
        place = command.kind, command.key
        line = self.line[place]
        sure(token in line, "FIFO", "%d is served, and has gone", token)
        if fence is not None:
            sure(line[0] == token, "FIFO", "%d was served before %d", token, line[0])
            self.world.reached[f"{command.kind}s"] += 1
            self.held[place] = fence, self.world.now, command.lease_s
        line.remove(token)

    def told(self, told: Any) -> None:
        """Watchers would hear of something."""
        op, key, rev = told.get("op"), told.get("key"), told["rev"]
        now = self.world.now
        if op == "put":
            self.mirror[key] = told["value"].data
            self.leases.pop(key, None)
            if told["lease_s"] is not None:
                self.leases[key] = now, told["lease_s"]
        elif op in ("deleted", "expired"):
            sure(key in self.mirror, "W", "%s goes, and is not there", key)
            del self.mirror[key]
            lease = self.leases.pop(key, None)
            if op == "expired":
                self._is_over(lease, key)
        elif op in ("locked", "elected"):
            place = "lock" if op == "locked" else "term", key
            sure(place not in self.held, "M", "%s has two holders", place)
            sure(rev > self.latest.get(place, 0), "M", "%s: a fence that is not larger", place)
            self.latest[place] = rev
            self.held[place] = rev, now, 0.0
        else:
            place = "lock" if "lock" in op else "term", key
            fence, began, lease_s = self.held.pop(place)
            sure(fence == rev, "M", "%s: another one has ended", place)
            if op.endswith("expired"):
                self._is_over((began, lease_s), place)

    def _is_over(self, lease: tuple[float, float] | None, what: object) -> None:
        sure(lease is not None, "E", "%s had no lease", what)
        assert lease is not None
        began, lease_s = lease
        end, now = began + lease_s, self.world.now
        self.world.reached["expired"] += 1
        sure(now >= end, "E", "%s: %g s too early", what, end - now)
        stood = any(a <= now and b >= began for a, b in self.world.stood_still)
        sure(stood or now <= end + LATE_S, "E", "%s: %g s late", what, now - end)

    def restarted(self) -> None:
        """What was not committed has not been; leases begin anew, and nobody stands in line."""
        now = self.world.now
        self.held, self.latest, self.counts, self.leases, self.mirror = self._kept
        self.held = {place: (it[0], now, it[2]) for place, it in self.held.items()}
        self.leases = {key: (now, lease_s) for key, (_, lease_s) in self.leases.items()}
        self.line = {place: [] for place in LOCKS}
        self._commands.clear()
        self.committed()

    def close(self) -> None:
        """Nothing more happens."""
        world = self.world
        every: Any = ReadDict("d", values=False, create=True)
        keys: Any = world.plane.step([Asked(every, "keys")], world.now).replies[0][1]
        sure(set(keys.keys) == set(self.mirror), "W", "the mirror has other keys")
        each: Any = GetKeys("d", keys.keys)
        entries: Any = world.plane.step([Asked(each, "all")], world.now).replies[0][1]
        told = {key: it.value.data for key, it in zip(keys.keys, entries, strict=True)}
        sure(told == self.mirror, "W", "the mirror differs")
        sure(not self.held and not self.leases, "E", "leases that never end: %s", self.held)
