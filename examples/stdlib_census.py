"""A census of your standard library: every module is parsed and measured in worker processes.

    python examples/stdlib_census.py
    apothic run examples/stdlib_census.py

The table goes to stdout, how far it is to stderr, and a plot to stdlib_census.svg.
"""

from __future__ import annotations

import ast
import math
import os
import platform
import sys
import sysconfig
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

from apothic import App

LIBRARY = Path(sysconfig.get_path("stdlib"))
NOT_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
WORKERS = os.cpu_count() or 1

app = App("stdlib-census")


class Routine(NamedTuple):
    """One function or method."""

    name: str
    lines: int
    complexity: int  # McCabe's: 1, and 1 more for every place where the path forks


class Module(NamedTuple):
    """What is known of one module."""

    name: str
    lines: int
    classes: int
    routines: list[Routine]
    imports: set[str]
    documented: int
    documentable: int

    @property
    def worst(self) -> int:
        return max((routine.complexity for routine in self.routines), default=1)


# -- measuring, in the workers ---------------------------------------------------------------------

SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
FORKS = (
    *(ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.Assert),
    *(ast.comprehension, ast.match_case),
)


# Two modules wait at most for each worker: `map` takes from its iterable as fast as they are done.
@app.function(max_containers=WORKERS, max_pending_tasks=2 * WORKERS, timeout_s=60)
def measure(path: Path) -> Module:
    """Parse one module and count what is in it."""
    source = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's invalid escapes
        tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    scopes = [tree, *(node for node in nodes if isinstance(node, SCOPES))]
    public = [scope for scope in scopes if not getattr(scope, "name", "").startswith("_")]
    return Module(
        name=name_of(path),
        lines=source.count(b"\n"),
        classes=sum(isinstance(scope, ast.ClassDef) for scope in scopes),
        routines=list(routines_in(tree)),
        imports=set(imported(nodes)),
        documented=sum(ast.get_docstring(scope, clean=False) is not None for scope in public),
        documentable=len(public),
    )


def name_of(path: Path) -> str:
    """The dotted name under which a file is imported."""
    parts = path.relative_to(LIBRARY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def routines_in(node: ast.AST, prefix: str = "") -> Iterator[Routine]:
    """Every function below a node, with the classes and functions it stands in."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, SCOPES):
            name = prefix + child.name
            if not isinstance(child, ast.ClassDef):
                lines = (child.end_lineno or child.lineno) - child.lineno + 1
                yield Routine(name, lines, complexity_of(child))
            yield from routines_in(child, f"{name}.")
        elif not isinstance(child, ast.expr):
            yield from routines_in(child, prefix)


def complexity_of(function: ast.AST) -> int:
    """Count the paths through a function, leaving out those defined inside it."""
    complexity, inside = 1, list(ast.iter_child_nodes(function))
    while inside:
        part = inside.pop()
        if isinstance(part, SCOPES):
            continue
        complexity += isinstance(part, FORKS)
        complexity += len(part.values) - 1 if isinstance(part, ast.BoolOp) else 0
        inside += ast.iter_child_nodes(part)
    return complexity


def imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The packages that a module imports, wherever in it."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


# -- in your own process ---------------------------------------------------------------------------


@app.local_entrypoint()
def main(plot: str = "stdlib_census.svg") -> None:
    """Measure every module, print the table and draw the plot."""
    started = time.perf_counter()
    paths = [path for path in LIBRARY.rglob("*.py") if is_library(path)]
    paths.sort(key=lambda path: -path.stat().st_size)  # the longest first: no worker ends late
    modules = measure.map(shown(paths))
    print(report(modules, time.perf_counter() - started))
    Path(plot).write_text(drawing(modules), "utf-8")
    print(f"\nThe plot is in {plot}")


def is_library(path: Path) -> bool:
    """Whether a file is of the library itself: its tests and what was installed later are not."""
    return not NOT_LIBRARY & set(path.relative_to(LIBRARY).parts)


def shown(paths: list[Path]) -> Iterator[Path]:
    """The paths as the workers take them, with a line on stderr that says how far they are."""
    is_terminal = sys.stderr.isatty()
    step = 1 if is_terminal else -(-len(paths) // 10)
    for taken, path in enumerate(paths, 1):
        yield path
        if taken % step == 0 or taken == len(paths):
            bar = "█" * (30 * taken // len(paths))
            line = f"{bar:░<30} {taken:>4} of {len(paths)}  {name_of(path)}"
            print(f"\r{line:<90.90}" if is_terminal else line, end="", file=sys.stderr, flush=True)
            print(end="" if is_terminal and taken < len(paths) else "\n", file=sys.stderr)


def report(modules: list[Module], seconds: float) -> str:
    """The tables."""
    routines = [(routine, module) for module in modules for routine in module.routines]
    packages: dict[str, list[Module]] = {}
    for module in modules:
        packages.setdefault(module.name.partition(".")[0], []).append(module)
    largest = sorted(packages.items(), key=lambda item: -sum(m.lines for m in item[1]))[:15]
    uses = Counter(name for module in modules for name in module.imports).most_common(10)
    longest = sorted(routines, key=lambda pair: -pair[0].lines)[:8]
    tangled = sorted(routines, key=lambda pair: -pair[0].complexity)[:8]
    return "\n".join(
        [
            f"Python {platform.python_version()} measured in {seconds:.1f} s by {WORKERS} workers",
            *table(
                "package, modules, lines, functions, classes, complexity, documented",
                [package_row(*item) for item in [*largest, ("the whole library", modules)]],
            ),
            *table(
                "most imported, by modules, ",
                [(name, f"{count}", bar(count / uses[0][1], 40)) for name, count in uses],
            ),
            *table("longest functions, lines, complexity", map(routine_row, longest)),
            *table("most complex functions, lines, complexity", map(routine_row, tangled)),
        ]
    )


def table(heading: str, rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Lines of a table: the first column to the left, the others to the right."""
    cells = [tuple(heading.split(", ")), *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "   ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells
    ]
    return iter(["", lines[0], "─" * len(lines[0]), *lines[1:]])


def bar(share: float, width: int = 10) -> str:
    """A share as a bar."""
    return f"{'█' * round(share * width):░<{width}}"


def package_row(name: str, modules: list[Module]) -> tuple[str, ...]:
    """One line of the table of packages."""
    routines = [routine for module in modules for routine in module.routines]
    mean = sum(routine.complexity for routine in routines) / max(1, len(routines))
    lines, classes = sum(m.lines for m in modules), sum(m.classes for m in modules)
    counts = (f"{count:,}" for count in (len(modules), lines, len(routines), classes))
    share = documented(modules)
    return name, *counts, f"{mean:.1f}" if routines else "-", f"{share:4.0%} {bar(share)}"


def routine_row(pair: tuple[Routine, Module]) -> tuple[str, ...]:
    """One line of a table of functions."""
    routine, module = pair
    return f"{module.name}.{routine.name}", f"{routine.lines:,}", f"{routine.complexity:,}"


def documented(modules: list[Module]) -> float:
    """Which share of the public modules, classes and functions has a docstring."""
    return sum(m.documented for m in modules) / max(1, sum(m.documentable for m in modules))


# -- the plot --------------------------------------------------------------------------------------

WIDTH, HEIGHT = 1240, 760
LEFT, RIGHT, TOP, BOTTOM = 76, 880, 128, 690
BARS_LEFT, BARS_RIGHT = 1004, 1196
SHADES = ("#c2410c", "#e08a3c", "#d6bf6a", "#6fae8e", "#1f7a8c")  # from no docstrings to all
STYLE = """
text { font: 13px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #475569 }
.title { font-size: 24px; font-weight: 650; fill: #0f172a }
.head { font-size: 14px; font-weight: 650; fill: #0f172a }
.small { font-size: 11.5px }
.name { font-size: 11.5px; fill: #0f172a; paint-order: stroke; stroke: #fbfaf7; stroke-width: 3px }
.grid { stroke: #e2dfd6; stroke-width: 1 }
.dot { stroke: #fff; stroke-width: 0.8; fill-opacity: 0.8 }
.dot:hover { fill-opacity: 1; stroke: #0f172a; stroke-width: 1.6 }
.bar { fill: #94a3b8 }
.bar:hover { fill: #475569 }
"""


class Axis(NamedTuple):
    """A logarithmic scale from values to pixels."""

    least: float
    most: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = math.log(max(value, self.least) / self.least) / math.log(self.most / self.least)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> Iterator[int]:
        for power in range(7):
            yield from (n for n in (10**power, 3 * 10**power) if self.least <= n <= self.most)


def drawing(modules: list[Module]) -> str:
    """The plot: every module a dot, the most imported packages as bars."""
    modules = sorted((m for m in modules if m.lines), key=lambda m: -len(m.routines))
    x = Axis(3, 1.3 * max(m.lines for m in modules), LEFT, RIGHT)
    y = Axis(0.9, 1.35 * max(m.worst for m in modules), BOTTOM, TOP)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
            f"<style>{STYLE}</style>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fbfaf7"/>',
            text(
                LEFT - 36,
                50,
                f"The standard library of Python {platform.python_version()}",
                "title",
            ),
            text(LEFT - 36, 76, f"{len(modules)} modules. The larger the dot, the more functions."),
            *axes(x, y),
            *(dot(module, x, y) for module in modules),
            *names(modules, x, y),
            *legend(),
            *most_imported(modules),
            "</svg>\n",
        ]
    )


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Some words in the plot."""
    place = f'x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(words)}</text>"


def axes(x: Axis, y: Axis) -> Iterator[str]:
    """The grid and what it means."""
    for value in x.ticks():
        yield f'<path class="grid" d="M{x.at(value):.1f} {TOP}V{BOTTOM}"/>'
        yield text(x.at(value), BOTTOM + 20, f"{value:,}", "small", "middle")
    for value in y.ticks():
        yield f'<path class="grid" d="M{LEFT} {y.at(value):.1f}H{RIGHT}"/>'
        yield text(LEFT - 10, y.at(value) + 4, f"{value:,}", "small", "end")
    yield text(LEFT - 36, TOP - 16, "Complexity of the module's most complex function", "head")
    yield text(RIGHT, BOTTOM + 44, "Lines in the module", "head", "end")


def radius(module: Module) -> float:
    """Half the width of a module's dot."""
    return 2.2 + 0.85 * math.sqrt(len(module.routines))


def dot(module: Module, x: Axis, y: Axis) -> str:
    """A module; browsers show its numbers under the mouse."""
    share = documented([module])
    tip = (
        f"{module.name}: {module.lines:,} lines, {len(module.routines)} functions, "
        f"{module.classes} classes, complexity {module.worst} at most, {share:.0%} documented"
    )
    return (
        f'<circle class="dot" cx="{x.at(module.lines):.1f}" cy="{y.at(module.worst):.1f}" '
        f'r="{radius(module):.1f}" fill="{SHADES[round(share * 4)]}">'
        f"<title>{escape(tip)}</title></circle>"
    )


def names(modules: list[Module], x: Axis, y: Axis) -> Iterator[str]:
    """Names beside the dots that stand out, where they cover neither a name nor another dot."""
    taken = [box_of(x.at(m.lines), y.at(m.worst), radius(m) - 1) for m in modules]
    for module in sorted(modules, key=lambda m: -m.worst * m.lines)[:80]:
        wide, away = 3.6 * len(module.name), radius(module) + 5
        cx, cy = x.at(module.lines), y.at(module.worst)
        sides = (
            (cx + away + wide, cy),
            (cx - away - wide, cy),
            (cx, cy - away - 4),
            (cx, cy + away + 4),
        )
        for at in sides:
            box = box_of(*at, wide, 6)
            if box[0] > LEFT and box[2] < RIGHT and not any(overlap(box, other) for other in taken):
                taken.append(box)
                yield text(at[0], at[1] + 4, module.name, "name", "middle")
                break


def box_of(x: float, y: float, wide: float, high: float | None = None) -> tuple[float, ...]:
    """The left, top, right and bottom of what stands around a point."""
    high = wide if high is None else high
    return x - wide, y - high, x + wide, y + high


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """Whether two boxes share some room."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def legend() -> Iterator[str]:
    """What the colours mean."""
    left, top = RIGHT - 5 * 44, TOP - 62
    yield text(left - 10, top + 11, "documented", anchor="end")
    for index, shade in enumerate(SHADES):
        yield f'<rect x="{left + 44 * index}" y="{top}" width="44" height="14" fill="{shade}"/>'
        yield text(left + 44 * index + 22, top + 30, f"{index / 4:.0%}", "small", "middle")


def most_imported(modules: list[Module]) -> Iterator[str]:
    """Bars: how many modules import a package."""
    uses = Counter(name for module in modules for name in module.imports).most_common(20)
    step = (BOTTOM - TOP) / len(uses)
    yield text(BARS_LEFT - 78, TOP - 16, "Most imported, by how many modules", "head")
    for row, (name, count) in enumerate(uses):
        top, wide = TOP + row * step, (BARS_RIGHT - BARS_LEFT) * count / uses[0][1]
        yield text(BARS_LEFT - 8, top + step / 2 + 4, name, "small", "end")
        yield (
            f'<rect class="bar" x="{BARS_LEFT}" y="{top + 3:.1f}" width="{wide:.1f}" '
            f'height="{step - 6:.1f}" rx="2"><title>{escape(name)}: {count} modules</title></rect>'
        )
        yield text(BARS_LEFT + wide + 6, top + step / 2 + 4, f"{count}", "small")


if __name__ == "__main__":
    main()
