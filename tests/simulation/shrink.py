"""Makes a failing plan small: fewer faults (ddmin), then fewer operations."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.history import Violation
from tests.simulation.plan import Fault, Plan
from tests.simulation.world import World


def failure_of(plan: Plan, *, check_every: int = 8) -> str | None:
    """The class of the failure that a plan runs into, None if it passes."""
    try:
        World(plan, check_every=check_every).run()
    except Violation as violation:
        return violation.invariant
    except AssertionError as error:
        return str(error).partition(":")[0]
    except Exception as error:
        return type(error).__name__
    return None


def shrink(plan: Plan, failure: str) -> Plan:
    """The smallest plan found that fails in the same way."""

    def fails(smaller: Plan) -> bool:
        return failure_of(smaller) == failure

    faults = ddmin(plan.faults, lambda kept: fails(plan.with_faults(kept)))
    plan = plan.with_faults(faults)
    low, high = 0, len(plan.ops)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fails(plan.with_ops(middle)) else (middle + 1, high)
    smaller = plan.with_ops(high)
    return smaller if fails(smaller) else plan


def ddmin(
    faults: tuple[Fault, ...], fails: Callable[[tuple[Fault, ...]], bool]
) -> tuple[Fault, ...]:
    """Leave out faults for as long as it still fails."""
    parts = 2
    while faults:
        size = max(1, len(faults) // parts)
        for start in range(0, len(faults), size):
            kept = faults[:start] + faults[start + size :]
            if fails(kept):
                faults, parts = kept, max(2, parts - 1)
                break
        else:
            if size == 1:
                return faults
            parts *= 2
    return faults


def report(plan: Plan, failure: str) -> str:
    """What to print of a failure, with the line that runs it again."""
    faults = ",".join(f"{fault.kind}@{fault.at:g}" for fault in plan.faults)
    again = f"python -m tests.simulation --seed {plan.seed} --ops {len(plan.ops)}"
    return f"seed {plan.seed} breaks {failure}; again:\n  {again} --faults '{faults}'"
