"""The functions that are known, each with its pool: by number, by id, and the live ones by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from apothic_backends.model.errors import NotFound, OverLimit
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.ids import number_of
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.functions import Function, check_spec
from apothic_emulator.core.kinds import pool_of
from apothic_emulator.core.pools import Pool


class Registry:
    """Functions are never forgotten while the control plane runs, but for those of instances."""

    def __init__(self, enforced: Mapping[str, str], most: int) -> None:
        self.pools: dict[int, Pool] = {}
        self.keep: Callable[[Function], None] | None = None
        """Writes functions down."""
        self.drop: Callable[[Function], None] | None = None
        """The reverse."""
        self.deployed: Counter[int] = Counter()
        """The functions of deployments, and of how many each is."""
        self.instance: Callable[[str], Pool] | None = None
        """Finds the pool of an instance that has none now."""
        self._by_id: dict[str, Pool] = {}
        self._enforced = enforced
        self._most = most
        self._last = 0

    def find(self, function_id: str) -> Pool:
        """The function of that id, or the live one of that name (`app/name`).

        Raises:
            NotFound: there is none.
        """
        pool = self._by_id.get(function_id)
        if pool is None:
            if self.instance is not None and function_id.startswith("instances:"):
                return self.instance(function_id)
            if "/" in function_id:
                raise NotFound(f"{function_id} is not deployed here", function_id=function_id)
            number_of(function_id, "functions")
            raise NotFound(f"no function {function_id!r} here", function_id=function_id)
        return pool

    def known(self, spec: FunctionSpec, code: Payload) -> Function | None:
        """The function that has been registered so already."""
        for pool in self.pools.values():
            known = pool.function
            if known.spec == spec and known.code == code and known.number not in self.deployed:
                return known
        return None

    def make(self, spec: FunctionSpec, code: Payload) -> Pool:
        """Make a function known, and write it down.

        Raises:
            InvalidOption: it could never run.
            OverLimit: there are too many.
        """
        check_spec(spec)
        if len(self.pools) >= self._most:
            raise OverLimit(
                f"there are {self._most} functions already, and each stays as long as its control "
                "plane; register the same ones again instead of others",
                limit="functions",
            )
        pool = self.add(self.restored(self._last + 1, spec, code))
        if self.keep is not None:
            self.keep(pool.function)
        return pool

    def archives(self) -> set[str]:
        """The digests of the archives that functions cannot run without."""
        return {digest for pool in self.pools.values() for digest in pool.function.spec.archives}

    def restored(self, number: int, spec: FunctionSpec, code: Payload) -> Function:
        """A function as it was written down."""
        return Function(number, spec, code, self._enforced)

    def add(self, function: Function) -> Pool:
        """Make a function known."""
        self._last = max(self._last, function.number)
        pool = self.pools[function.number] = self._by_id[function.function_id] = pool_of(function)
        return pool

    def forget(self, number: int) -> None:
        """Nobody calls a function any more, and nobody can."""
        pool = self.pools.pop(number)
        del self._by_id[pool.function.function_id]
        if self.drop is not None:
            self.drop(pool.function)

    def number_after(self, number: int) -> None:
        """Give functions higher numbers than that."""
        self._last = max(self._last, number)

    def name(self, name: str, pool: Pool | None) -> None:
        """Have a name stand for a function from now on, or for none."""
        if pool is None:
            self._by_id.pop(name, None)
        else:
            self._by_id[name] = pool
