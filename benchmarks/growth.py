"""What a step of the core takes with few machines and with many, as a table and as a plot.

`python benchmarks/growth.py` takes two minutes. Steps before which no job waited for a place are
told apart: room is made for others in the rest. Drawn is what a step calls, which is the same each
time; how long that takes depends on what else the computer does.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import scale

MACHINES = (8, 32, 125, 500, 1_000)
JOBS = 150_000
"""As many for each number of machines, so that as much is kept of them."""

EACH = 20
"""So many calls are between two lines of the plot."""
WIDTH, HEIGHT = 640, 330
LEFT, RIGHT, TOP, BOTTOM = 70, 610, 70, 280
STYLE = """
text { font: 13px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #475569 }
.title { font-size: 18px; font-weight: 650; fill: #0f172a }
.grid { stroke: #e2dfd6 }
.line { stroke: #1f7a8c; stroke-width: 2; fill: none }
.waiting { stroke: #b45309 }
.dot { fill: #1f7a8c; stroke: #fff }
.dot.waiting { fill: #b45309; stroke: #fff }
"""

Point = tuple[int, dict[str, float]]


def drawing(points: Sequence[Point]) -> str:
    """Calls of a step over the number of machines, which grows logarithmically."""
    top = EACH * math.ceil(1.2 * max(found["waiting_calls"] for _, found in points) / EACH)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
            f"<style>{STYLE}</style>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fbfaf7"/>',
            text(LEFT - 40, 34, "Functions that a step of the core calls", "title"),
            *grid(top),
            *line(points, top, "waiting_calls", "waiting"),
            *line(points, top, "calls", ""),
            *names(points),
            text((LEFT + RIGHT) / 2, HEIGHT - 12, "machines, with 4 workers each", "", "middle"),
            "</svg>\n",
        ]
    )


def grid(top: int) -> Iterator[str]:
    """Lines to read values by."""
    for value in range(0, top + 1, EACH):
        y = BOTTOM - value / top * (BOTTOM - TOP)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>'
        yield text(LEFT - 10, y + 4, f"{value}", "", "end")


def line(points: Sequence[Point], top: int, key: str, kind: str) -> Iterator[str]:
    """One of the values, with a dot for each number of machines."""
    spots = [
        (place(points, machines), BOTTOM - found[key] / top * (BOTTOM - TOP))
        for machines, found in points
    ]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
    yield f'<path class="line {kind}" d="M{path}"/>'
    for (_, found), (x, y) in zip(points, spots, strict=True):
        yield f'<circle class="dot {kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
        yield text(x, y - 12, f"{found[key]:.0f}", "", "middle")


def names(points: Sequence[Point]) -> Iterator[str]:
    """The numbers of machines, and what the lines are."""
    for machines, _ in points:
        yield text(place(points, machines), BOTTOM + 20, f"{machines:,}", "", "middle")
    yield text(LEFT, TOP - 14, "above: while a job waits for a place; below: while none does")


def place(points: Sequence[Point], machines: int) -> float:
    """Where a number of machines is, from left to right."""
    first, last = math.log(points[0][0]), math.log(points[-1][0])
    return LEFT + (math.log(machines) - first) / (last - first) * (RIGHT - LEFT)


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Some words in the plot."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{words}</text>'


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("growth.svg"))
    asked = parser.parse_args()
    points: list[Point] = []
    for machines in MACHINES:
        found = scale.Fleet(machines).run(asked.jobs)
        points.append((machines, found))
        print(
            f"{machines:>5} machines: {found['us']:5.1f} µs and {found['calls']:5.1f} calls for a "
            f"step, {found['waiting_us']:5.1f} µs and {found['waiting_calls']:5.1f} calls while a "
            f"job waits for a place; the longest wait is {found['longest_s']:.1f} s, and for a "
            f"whole machine {found['whole_s']:.1f} s",
            flush=True,
        )
    asked.out.write_text(drawing(points), encoding="utf-8")


if __name__ == "__main__":
    main()
