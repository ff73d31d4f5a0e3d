"""Apothic and its peers side by side: `python benchmarks/run.py [--only ROW,…] [--pairs N]`.

Every row is measured in rounds. A round measures every subject once, so that whatever else the
machine does hits all of them alike, and ratios are taken within a round. See README.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import report
from collect import COLLECTORS, Collector
from rows import ROWS
from subjects import NEEDS, missing


def arguments() -> argparse.Namespace:
    """What the user asked for."""
    parser = argparse.ArgumentParser(description="Apothic and its peers side by side.")
    parser.add_argument("--only", metavar="ROW,…", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--without", metavar="SUBJECT,…", default="", help="leave these out")
    parser.add_argument("--pairs", type=int, default=11, help="rounds for each row (default: 11)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write every sample here")
    asked = parser.parse_args()
    asked.rows = asked.only.split(",") if asked.only else list(ROWS)
    if unknown := set(asked.rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    return asked


def say(text: str) -> None:
    """Tell how it goes, apart from the results."""
    print(text, file=sys.stderr, flush=True)


def present(unwanted: list[str]) -> list[str]:
    """The subjects that can run here."""
    found = []
    for subject in NEEDS:
        lacking = missing(subject)
        if lacking:
            say(f"{subject} is skipped: no module {lacking}")
        elif subject not in unwanted:
            found.append(subject)
    return found


def measure(name: str, here: list[str], pairs: int) -> dict[str, Any]:
    """All rounds of one row."""
    row = ROWS[name]
    needs = {"bare": "ppe", "import": "apothic", "declare": "apothic"}
    subjects = [subject for subject in row.subjects if needs.get(subject, subject) in here]
    rounds = min(pairs, row.rounds)
    say(f"{name}: {rounds} rounds of {', '.join(subjects)}")
    collector = Collector(name, subjects, say)
    COLLECTORS[row.how](name, row, rounds, collector)
    return {
        "rounds": rounds,
        "quiet": sum(collector.quiet) / len(collector.quiet) if collector.quiet else 1.0,
        "failures": collector.failures,
        "samples": collector.samples,
        "goals": report.goals(row, collector.samples),
    }


def main() -> None:
    """Measure, print, write."""
    asked = arguments()
    here = present(asked.without.split(","))
    found = report.circumstances()
    results: dict[str, Any] = {}
    print(report.heading(found), flush=True)
    for name in asked.rows:
        results[name] = measure(name, here, asked.pairs)
        print(f"\n{report.section(name, results[name])}", flush=True)
        if asked.json:
            asked.json.write_text(json.dumps(found | {"rows": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
