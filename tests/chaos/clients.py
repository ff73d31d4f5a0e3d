"""Callers, each on a thread of its own: they check what they get, and count it."""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable
from traceback import format_exception
from typing import Any

from apothic import Job, JobCancelled, WorkerLost
from apothic_backends.model.errors import ApothicError
from tests.chaos import work

PATIENCE_S = 60.0
"""Who has to wait for that long waits for ever."""

ONCE = (work.quick, work.nested, work.in_tasks)
AGAIN = (work.slow, work.second_try, work.with_child, work.in_threads, work.in_batches)
KILLED = ("signal", "poison", "start", "protocol")
"""How the death of a process is told; "protocol" when only its channel could be seen to break."""


class Clients:
    """Calls everything at random until it is told to stop."""

    def __init__(self, seed: int, threads: int) -> None:
        self.seen: Counter[str] = Counter()
        self.failures: list[str] = []
        self.once: set[int] = set()
        """Tokens of calls that may begin only once."""
        self.again: set[int] = set()
        """Those that may begin more often."""
        self.done: set[int] = set()
        """Those that had a result."""
        self._tokens = itertools.count(1)
        self._stop = threading.Event()
        ways = (self._remote, self._map, self._spawn, self._cancel, self._generate)
        self._ways: tuple[Callable[[random.Random], None], ...] = ways
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(f"{seed}/{i}"),), daemon=True)
            for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let every call end."""
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE_S)
            if thread.is_alive():
                self.failures.append("a caller waits for ever")

    def _run(self, rng: random.Random) -> None:
        while not self._stop.is_set():
            way = rng.choice(self._ways)
            try:
                way(rng)
            except (WorkerLost, JobCancelled) as error:
                self._ended(way.__name__, error)
            except Exception as error:
                self.failures.append(f"{way.__name__}: {''.join(format_exception(error))}")
                return

    def _ended(self, way: str, error: ApothicError) -> None:
        """A call had no result: there must be a reason, and it must be ours."""
        if isinstance(error, JobCancelled):
            self._sure(way in ("_map", "_cancel", "_generate"), f"{way}: {error!r}")
            return
        reason = error.data["reason"]
        self.seen[f"lost: {reason}"] += 1
        self._sure(reason in KILLED, f"{way}: {error!r}: {error.data}")
        if reason == "signal":
            self._sure(error.data["signal"] == 9, f"{way}: {error!r}: {error.data}")

    def _sure(self, fact: object, what: str) -> None:
        if not fact:
            self.failures.append(what)

    def _call(self, rng: random.Random) -> tuple[Any, int]:
        """A function, and a fresh token for a call of it."""
        function: Any = rng.choice((*ONCE, *AGAIN))
        return function, self._token(function)

    def _token(self, function: object) -> int:
        token = next(self._tokens)
        (self.once if function in ONCE else self.again).add(token)
        return token

    def _result(self, token: int, value: object) -> None:
        self.seen["results"] += 1
        self._sure(value == 2 * token, f"{value!r} is not the result of {token}")
        self._sure(token not in self.done, f"the result of {token} came twice")
        self.done.add(token)

    # --- ways to call ---------------------------------------------------------------------------

    def _remote(self, rng: random.Random) -> None:
        function, token = self._call(rng)
        self._result(token, function.remote(token, timeout_s=PATIENCE_S))

    def _map(self, rng: random.Random) -> None:
        function = rng.choice((*ONCE, *AGAIN))
        tokens = [self._token(function) for _ in range(rng.randrange(1, 12))]
        values = function.map(tokens, timeout_s=PATIENCE_S)
        self._sure(len(values) == len(tokens), f"{len(values)} results of {len(tokens)} calls")
        for token, value in zip(tokens, values, strict=False):
            self._result(token, value)

    def _spawn(self, rng: random.Random) -> None:
        jobs: list[tuple[int, Job[Any]]] = []
        for _ in range(rng.randrange(1, 6)):
            function, token = self._call(rng)
            jobs.append((token, function.spawn(token)))
        for token, job in jobs:
            try:
                self._result(token, job.wait(PATIENCE_S))
            except WorkerLost as error:
                self._ended("_spawn", error)

    def _cancel(self, rng: random.Random) -> None:
        function, token = self._call(rng)
        job = function.spawn(token)
        self._stop.wait(0.003 * rng.random())
        job.cancel()
        self._result(token, job.wait(PATIENCE_S))

    def _generate(self, rng: random.Random) -> None:
        token = self._token(work.items)
        wanted = itertools.count(token)
        most = rng.choice((3, work.ITEMS + 1))
        taken = 0
        for item in work.items.remote_gen(token):
            self._sure(item == next(wanted), f"item {item} of {token} is out of turn")
            self.seen["items"] += 1
            taken += 1
            if taken == most:
                return  # early: the generator is closed
        self._sure(taken == work.ITEMS, f"{taken} items of {token}")
