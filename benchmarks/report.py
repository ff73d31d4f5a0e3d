"""What comes out: Markdown for people, JSON for later comparisons."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rows import ROWS, Row, Samples
from stats import Interval, interval

VERDICTS = {
    (True, True): "met",
    (True, False): "met, by the interval only",
    (False, False): "**missed**",
}
"""By whether the interval reaches the goal, and whether the median does."""


def figures(row: Row, samples: Samples) -> list[str]:
    """A table of medians, with the range between which each lies."""
    lines = [f"| | {' | '.join(row.units.values())} |", "|---" * (len(row.units) + 1) + "|"]
    for subject, metrics in samples.items():
        if metrics:
            cells = [_cell(metrics.get(metric)) for metric in row.units]
            lines.append(f"| {subject} | {' | '.join(cells)} |")
    return lines


def _cell(values: list[float] | None) -> str:
    if not values:
        return "-"
    found = interval(values)
    if found.low == found.high:
        return number(found.median)
    return f"{number(found.median)} [{number(found.low)}-{number(found.high)}]"


def number(value: float) -> str:
    """Three digits, without exponents."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def goals(row: Row, samples: Samples) -> list[dict[str, Any]]:
    """Each goal with what was found."""
    found = []
    for goal in row.goals:
        verdict = goal.verdict(samples)
        entry: dict[str, Any] = {"goal": str(goal), "median": None, "interval": None, "met": None}
        if verdict is not None:
            entry["median"] = verdict.median
            entry["interval"] = [verdict.low, verdict.high]
            entry["met"] = goal.met(verdict)
            entry["median_met"] = goal.met(Interval(*[verdict.median] * 3))
        found.append(entry)
    return found


def section(name: str, result: dict[str, Any]) -> str:
    """One row as Markdown."""
    row = ROWS[name]
    lines = [f"### {name}", "", f"{row.title}.", "", *figures(row, result["samples"]), ""]
    lines += ["| goal | found | |", "|---|---|---|"]
    for entry in result["goals"]:
        if entry["met"] is None:
            lines.append(f"| {entry['goal']} | - | not measured |")
        else:
            low, high = (number(bound) for bound in entry["interval"])
            verdict = VERDICTS[entry["met"], entry["median_met"]]
            lines.append(
                f"| {entry['goal']} | {number(entry['median'])} [{low}-{high}] | {verdict} |"
            )
    for subject, why in result["failures"].items():
        lines += ["", f"{subject} is out: {why}"]
    lines += ["", f"{result['rounds']} rounds; {result['quiet']:.0%} of the runs started quiet."]
    return "\n".join(lines)


def circumstances() -> dict[str, Any]:
    """When, where and with what."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", "benchmarks/run.py", *sys.argv[1:]]),
        "commit": _commit(),
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("apothic", "loky", "numpy", "ray")},
    }


def heading(found: dict[str, Any]) -> str:
    """The circumstances in two lines."""
    versions = ", ".join(f"{name} {at}" for name, at in found["versions"].items() if at)
    return (
        f"`{found['command']}` on {found['date'][:10]}, commit {found['commit']}\n\n"
        f"Python {found['python']}, {versions}; Linux {found['kernel']}, {found['cores']} cores "
        f"({found['processor']}). Medians with their 95 % intervals."
    )


def _commit() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - whichever git is there
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
