"""What a step of the core takes with few machines and with many, as a table and as a plot.

`python benchmarks/growth.py` takes a few minutes, most of them for 100,000 jobs on 1,000 machines.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import scale

MACHINES = (8, 32, 125, 500, 1_000)
MOST_JOBS, JOBS_EACH = 100_000, 250
"""Jobs in all; with few machines, so many for each."""

WIDTH, HEIGHT = 640, 330
LEFT, RIGHT, TOP, BOTTOM = 70, 610, 70, 280
STYLE = """
text { font: 13px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #475569 }
.title { font-size: 18px; font-weight: 650; fill: #0f172a }
.grid { stroke: #e2dfd6 }
.line { stroke: #1f7a8c; stroke-width: 2; fill: none }
.dot { fill: #1f7a8c; stroke: #fff }
"""

Point = tuple[int, dict[str, float]]


def drawing(points: Sequence[Point]) -> str:
    """Microseconds of a step over the number of machines, which grows logarithmically."""
    first, last = math.log(points[0][0]), math.log(points[-1][0])
    top = 5 * math.ceil(1.2 * max(found["us"] for _, found in points) / 5)
    spots = [
        (
            LEFT + (math.log(machines) - first) / (last - first) * (RIGHT - LEFT),
            BOTTOM - found["us"] / top * (BOTTOM - TOP),
        )
        for machines, found in points
    ]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
            f"<style>{STYLE}</style>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fbfaf7"/>',
            text(LEFT - 40, 34, "What a step of the core takes, in µs of a processor", "title"),
            *grid(top),
            f'<path class="line" d="M{path}"/>',
            *marks(points, spots),
            text((LEFT + RIGHT) / 2, HEIGHT - 12, "machines, with 4 workers each", "", "middle"),
            "</svg>\n",
        ]
    )


def grid(top: int) -> Iterator[str]:
    """Lines to read values by."""
    for value in range(0, top + 1, 5):
        y = BOTTOM - value / top * (BOTTOM - TOP)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>'
        yield text(LEFT - 10, y + 4, f"{value}", "", "end")


def marks(points: Sequence[Point], spots: Sequence[tuple[float, float]]) -> Iterator[str]:
    """A dot for each number of machines, with both its values."""
    for (machines, found), (x, y) in zip(points, spots, strict=True):
        yield f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
        yield text(x, y - 12, f"{found['us']:.1f}", "", "middle")
        yield text(x, BOTTOM + 20, f"{machines:,}", "", "middle")


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Some words in the plot."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{words}</text>'


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=MOST_JOBS, help="at most")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("growth.svg"))
    asked = parser.parse_args()
    points: list[Point] = []
    for machines in MACHINES:
        found = scale.Fleet(machines).run(min(asked.jobs, max(5_000, JOBS_EACH * machines)))
        points.append((machines, found))
        print(
            f"{machines:>5} machines: {found['us']:5.1f} µs for a step; the longest wait is "
            f"{found['longest_s']:.1f} s, and for a whole machine {found['whole_s']:.1f} s",
            flush=True,
        )
    asked.out.write_text(drawing(points), encoding="utf-8")


if __name__ == "__main__":
    main()
