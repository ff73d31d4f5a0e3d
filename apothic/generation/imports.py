"""Which modules generated code may use, and what of them.

What a name refers to is a dotted path: after `import numpy as np`, `np.linalg.norm` is
`numpy.linalg.norm`. A path may be used if it, or what it is part of, is allowed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from apothic.generation.findings import Finding

DEFAULT_MODULES = frozenset(
    {
        "abc",
        "array",
        "asyncio.gather",
        "asyncio.sleep",
        "base64",
        "binascii",
        "bisect",
        "calendar",
        "cmath",
        "collections",
        "colorsys",
        "contextlib",
        "copy",
        "csv",
        "dataclasses",
        "datetime",
        "decimal",
        "difflib",
        "enum",
        "fractions",
        "functools",
        "graphlib",
        "hashlib",
        "heapq",
        "hmac",
        "html",
        "io.BytesIO",
        "io.StringIO",
        "itertools",
        "json",
        "math",
        "numbers",
        "operator",
        "pathlib.PurePath",
        "pathlib.PurePosixPath",
        "pprint",
        "queue",
        "random",
        "re",
        "secrets",
        "shlex.join",
        "shlex.quote",
        "shlex.split",
        "statistics",
        "string",
        "struct",
        "textwrap",
        "time",
        "tomllib",
        "typing",
        "unicodedata",
        "urllib.parse",
        "uuid.UUID",
        "uuid.uuid3",
        "uuid.uuid4",
        "uuid.uuid5",
        "zlib",
        "zoneinfo",
    }
)
"""What may be imported where `allowed_modules` is not given: what computes, and neither opens files
or connections, nor starts programs, nor reaches into the interpreter."""

_OPENERS = frozenset({"io", "os", "pathlib"})
_WAYS_OUT = re.compile(
    "_.*|builtins|codecs|ctypes|gc|importlib|inspect|marshal|multiprocessing|os|pickle|posix|runpy"
    "|shutil|signal|socket|subprocess|sys|threading"  # which others import for themselves
    "|attrgetter|methodcaller|ForwardRef|get_type_hints"  # which take texts as code
)
"""What is no part of a module that is allowed, though it can be reached by it: `statistics.sys`."""


class Import(NamedTuple):
    """One name that is imported."""

    module: str
    name: str | None
    """What of the module; None for the module itself."""
    alias: str | None
    line: int

    @property
    def path(self) -> str:
        """What is imported."""
        return self.module if self.name is None else f"{self.module}.{self.name}"

    @property
    def bound(self) -> str:
        """The name that it has afterwards."""
        return self.alias or self.name or self.module.partition(".")[0]

    @property
    def target(self) -> str:
        """What that name refers to: `import os.path` makes a name of `os`."""
        return self.bound if self.name is None and self.alias is None else self.path

    @property
    def text(self) -> str:
        """The statement, of its own."""
        alias = [ast.alias(self.name or self.module, self.alias)]
        if self.name is None:
            return ast.unparse(ast.Import(alias))
        return ast.unparse(ast.ImportFrom(self.module, alias, 0))


class Use(NamedTuple):
    """Where a name is used, with what is taken of it: `np.linalg.norm`."""

    name: str
    rest: tuple[str, ...]
    line: int


def imports_in(nodes: Iterable[ast.AST]) -> Iterator[Import]:
    """All imports among the nodes, apart from those that `strange_imports` reports."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, alias.asname, node.lineno)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                yield Import(node.module or "", alias.name, alias.asname, node.lineno)


def strange_imports(nodes: Iterable[ast.AST]) -> Iterator[Finding]:
    """Imports that do not say what they import."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            if node.level:
                yield Finding("import", node.lineno, "no relative imports: name the whole module")
            elif node.names[0].name == "*":
                yield Finding("import", node.lineno, f"import by name from {node.module}, not *")


def uses_in(nodes: Iterable[ast.AST]) -> Iterator[Use]:
    """Each name that is used, once for the longest path that begins with it."""
    seen: set[int] = set()  # the beginnings of longer paths; those come first
    for node in nodes:
        if id(node) in seen:
            continue
        base, rest = node, list[str]()
        while isinstance(base, ast.Attribute):
            rest.insert(0, base.attr)
            base = base.value
            seen.add(id(base))
        if isinstance(base, ast.Name):
            yield Use(base.id, tuple(rest), base.lineno)


def refused_imports(imports: Iterable[Import], allowed: frozenset[str]) -> Iterator[Finding]:
    """Imports that are neither allowed nor hold anything that is."""
    for one in imports:
        holds_some = any(path.startswith(f"{one.path}.") for path in allowed)
        if not (holds_some or is_allowed(one.path, allowed)):
            yield _finding(one.path, one.line, allowed)


def refused_uses(
    uses: Iterable[Use], imports: Iterable[Import], allowed: frozenset[str]
) -> Iterator[Finding]:
    """What is taken of modules though it is not allowed, or none of their own."""
    imported = [*imports]
    refused = {finding.line for finding in refused_imports(imported, allowed)}
    targets: dict[str, set[str]] = {}
    for one in imported:
        if one.line not in refused:  # else it was said once
            targets.setdefault(one.bound, set()).add(one.target)
    for use in uses:
        for target in targets.get(use.name, ()):
            path = ".".join([target, *use.rest])
            if not is_allowed(path, allowed):
                yield _finding(path, use.line, allowed)


def paths_of(uses: Iterable[Use], imports: Iterable[Import]) -> frozenset[str]:
    """What the names that are used refer to."""
    targets = {one.bound: one.target for one in imports}
    return frozenset(
        ".".join([targets[use.name], *use.rest]) for use in uses if use.name in targets
    )


def is_allowed(path: str, allowed: frozenset[str]) -> bool:
    """Whether it is allowed, or is part of what is."""
    parts = path.split(".")
    for size in range(len(parts), 0, -1):
        if ".".join(parts[:size]) in allowed:
            return not any(map(_WAYS_OUT.fullmatch, parts[size:]))
    return False


def may_open(allowed: frozenset[str]) -> bool:
    """Whether files may be opened."""
    return not _OPENERS.isdisjoint(allowed)


def _finding(path: str, line: int, allowed: frozenset[str]) -> Finding:
    if any(path.startswith(f"{known}.") for known in allowed):
        return Finding("import", line, f"{path} leads out of what is allowed: do without")
    known = ", ".join(sorted(allowed)) or "no module at all"
    return Finding("import", line, f"{path} is not allowed (allowed_modules): use only {known}")
