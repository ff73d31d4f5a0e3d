"""Dicts, locks and elections against models, in virtual time and over restarts."""

from __future__ import annotations

from typing import Any

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from apothic_backends.commands.dicts import ClearDict, GetHolder, UpdateKeys
from apothic_backends.model.errors import Fenced, LockLost
from apothic_backends.model.payloads import Payload
from tests.unit.emulator.core.dict_driving import DictDriver

KEYS = st.sampled_from(["a", "b", "c"])
LEASES = st.sampled_from([None, None, 1.0, 2.0, 5.0])
MOMENTS = st.sampled_from([0.0, 0.5, 1.0, 2.0, 4.0, 5.0, 60.0])


class Dicts(RuleBasedStateMachine):
    """Each key of the model has a value, a revision, a lease and the moment of its end."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = DictDriver()
        self.driver.put("z")
        self.driver.pop("z")
        self.model: dict[str, tuple[str, int, float | None, float]] = {}
        self.old: set[int] = {0}
        self.count = 0

    def end_of(self, lease_s: float | None) -> float:
        return float("inf") if lease_s is None else self.driver.now + lease_s

    def write(self, key: str, rev: int, value: str, lease_s: float | None) -> None:
        assert rev > max(self.old)
        self.old.add(rev)
        self.model[key] = value, rev, lease_s, self.end_of(lease_s)

    @rule(key=KEYS, lease_s=LEASES)
    def put(self, key: str, lease_s: float | None) -> None:
        self.count += 1
        rev = self.driver.put(key, f"{self.count}", lease_s=lease_s)
        assert rev is not None
        self.write(key, rev, f"{self.count}", lease_s)

    @rule(key=KEYS, back=st.integers(0, 3))
    def swap(self, key: str, back: int) -> None:
        """Write at a revision: the present one, or one of before."""
        self.count += 1
        present = self.model[key][1] if key in self.model else 0
        if_rev = sorted(self.old)[-1 - min(back, len(self.old) - 1)]
        rev = self.driver.put(key, f"{self.count}", if_rev=if_rev)
        assert (rev is not None) is (if_rev == present)
        if rev is not None:
            self.write(key, rev, f"{self.count}", None)

    @rule(keys=st.lists(KEYS, max_size=3))
    def update(self, keys: list[str]) -> None:
        self.count += 1
        values = tuple(Payload(f"{self.count}".encode()) for _ in keys)
        last = self.driver.send(UpdateKeys("d", tuple(keys), values, create=True))
        for i, key in enumerate(keys):
            self.write(key, last - len(keys) + 1 + i, f"{self.count}", None)

    @rule(key=KEYS)
    def pop(self, key: str) -> None:
        found, known = self.driver.pop(key), self.model.pop(key, None)
        assert (found and (found.value.data.decode(), found.rev)) == (known and known[:2])

    @rule(key=KEYS, lease_s=st.sampled_from([1.0, 2.0, 5.0]))
    def renew(self, key: str, lease_s: float) -> None:
        assert self.driver.renew_key(key, lease_s) is (key in self.model)
        if key in self.model:
            self.model[key] = *self.model[key][:2], lease_s, self.end_of(lease_s)

    @rule()
    def clear(self) -> None:
        assert self.driver.send(ClearDict("d")) == len(self.model)
        self.model.clear()

    @rule(seconds=MOMENTS)
    def wait(self, seconds: float) -> None:
        self.driver.pass_s(seconds)
        now = self.driver.now
        self.model = {key: it for key, it in self.model.items() if it[3] > now}

    @rule()
    def restart(self) -> None:
        self.driver.restart()
        self.model = {key: (*it[:3], self.end_of(it[2])) for key, it in self.model.items()}

    @invariant()
    def all_agrees(self) -> None:
        keys = self.driver.keys()
        found = {key: self.driver.entry(key) for key in keys}
        assert set(found) == set(self.model)
        for key, entry in found.items():
            assert entry is not None
            value, rev, lease_s, _ = self.model[key]
            assert (entry.value.data.decode(), entry.rev, entry.lease_s) == (value, rev, lease_s)


class Holders(RuleBasedStateMachine):
    """The model of one lock, or of one election: its holder, the end of its lease, and a line."""

    kind = "lock"

    def __init__(self) -> None:
        super().__init__()
        self.driver = DictDriver()
        self.holder = ""
        self.fence = 0
        self.end = self.lease_s = 0.0
        self.asked_to_renew = -1
        self.renew_at = 0.0
        self.line: list[tuple[str, int, float, float]] = []
        """Who waits: the token, the lease that is wanted, and until when."""
        self.fences: list[int] = []
        self.names = 0

    def has(self, name: str, fence: int, lease_s: float) -> None:
        assert fence > max(self.fences, default=0)
        self.fences.append(fence)
        self.holder, self.fence, self.lease_s = name, fence, lease_s
        self.end, self.asked_to_renew = self.driver.now + lease_s, -1

    def next(self) -> None:
        self.holder, self.fence = "", 0
        if self.line:
            name, token, lease_s, _ = self.line.pop(0)
            self.has(name, self.driver.answered(token), lease_s)

    @rule(lease_s=st.sampled_from([3.0, 6.0]), timeout_s=st.sampled_from([None, 0.0, 2.0]))
    def acquire(self, lease_s: float, timeout_s: float | None) -> None:
        self.names += 1
        name, now = f"n{self.names}", self.driver.now
        token = self.driver.want(name, kind=self.kind, lease_s=lease_s, timeout_s=timeout_s)
        if not self.holder:
            self.has(name, self.driver.answered(token), lease_s)
        elif timeout_s == 0.0:
            assert self.driver.answered(token) is None
        else:
            until = float("inf") if timeout_s is None else now + timeout_s
            self.line.append((name, token, lease_s, until))

    @rule(i=st.integers(0, 3))
    def give_up(self, i: int) -> None:
        if i < len(self.line):
            self.driver.give_up(self.line.pop(i)[1])

    @rule(is_holder=st.booleans())
    def release(self, is_holder: bool) -> None:
        name = self.holder if is_holder and self.holder else "nobody"
        assert self.driver.release(name, kind=self.kind) is (name == self.holder)
        if name == self.holder:
            self.next()

    @rule(waits=st.booleans())
    def renew(self, waits: bool) -> None:
        if not self.fence:
            return
        now = self.driver.now
        self.end = now + self.lease_s
        if waits:
            self.asked_to_renew = self.driver.renew_later(self.fence, kind=self.kind)
            self.renew_at = now + self.lease_s / 3
        else:
            self.driver.renew(self.fence, kind=self.kind)

    @rule(i=st.integers(0, 5))
    def use_a_fence(self, i: int) -> None:
        if i < len(self.fences):
            fence = self.fences[-1 - i]
            try:
                self.driver.put("guarded", fence=fence)
            except Fenced as error:
                refused = error
            else:
                refused = None
            assert (refused is None) is (fence == self.fence)
            if refused is not None:  # after a restart it is not known what it was the fence of
                assert refused.data["present"] in (None, self.fence or None)

    @rule(i=st.integers(1, 5))
    def renew_what_was_lost(self, i: int) -> None:
        if i < len(self.fences):
            fence = self.fences[-1 - i]
            try:
                self.driver.renew(fence, kind=self.kind)
            except LockLost:
                return
            raise AssertionError

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0, 3.0, 6.0, 60.0]))
    def wait(self, seconds: float) -> None:
        goal = self.driver.now + seconds
        while True:
            ends = [until for *_, until in self.line] + [self.end] * bool(self.holder)
            moment = min([*ends, goal])
            self.driver.wait_until(moment)
            self.line = [it for it in self.line if it[3] > moment]
            if self.holder and self.end <= moment:
                self.next()
            if moment >= goal:
                break
        if self.asked_to_renew >= 0 and self.fence:
            is_owed = self.driver.is_owed(self.asked_to_renew)
            assert is_owed is (goal < self.renew_at)

    @rule()
    def restart(self) -> None:
        self.driver.restart()
        self.line.clear()
        self.asked_to_renew = -1
        self.end = self.driver.now + self.lease_s

    @invariant()
    def all_agrees(self) -> None:
        held: Any = self.driver.send(GetHolder("d", self.kind, '"k"', create=True))
        assert (held and (held.candidate, held.fence)) == (
            (self.holder, self.fence) if self.holder else None
        )
        assert all(self.driver.is_owed(token) for _, token, _, _ in self.line)


class Elections(Holders):
    """The same with terms."""

    kind = "term"


TestDicts = Dicts.TestCase
TestLocks = Holders.TestCase
TestElections = Elections.TestCase
TestDicts.settings = TestLocks.settings = TestElections.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, report_multiple_bugs=False
)
