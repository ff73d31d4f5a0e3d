"""Run seeds, or run one again: `python -m tests.simulation --seeds 1000 --processes 2`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

from tests.simulation.plan import FAULTS, Fault, Plan, make_plan
from tests.simulation.runs import run_many
from tests.simulation.world import World


def _plan_of(options: argparse.Namespace) -> Plan:
    plan = make_plan(options.seed).with_ops(options.ops)
    if options.faults is None:
        return plan
    return plan.with_faults(tuple(_faults_of(options.faults)))


def _faults_of(text: str) -> Iterator[Fault]:
    for part in filter(None, text.split(",")):
        kind, _, at = part.partition("@")
        yield Fault(float(at), kind)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, help="run this one again")
    parser.add_argument("--ops", type=int, default=10_000, help="only the first operations")
    parser.add_argument("--faults", help="kind@moment, separated by commas")
    options = parser.parse_args()
    if options.seed is not None:
        World(_plan_of(options), check_every=8).run()
        sys.stdout.write("passed\n")
        return
    began = time.perf_counter()  # the report's, not the simulation's
    tally = run_many(options.first, options.seeds, options.processes)
    took_s = time.perf_counter() - began
    per_s = tally.steps / took_s
    write = sys.stdout.write
    write(f"{tally.seeds} seeds, {tally.steps} steps in {took_s:.1f} s: {per_s:.0f} steps/s\n")
    for kind in FAULTS:
        write(f"  {kind:20} {tally.fired[kind]:8}\n")
    for what, times in sorted(tally.reached.items()):
        write(f"  reached {what:24} {times:8}\n")
    if tally.failure:
        sys.exit(tally.failure)


if __name__ == "__main__":
    main()
