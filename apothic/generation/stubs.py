"""Stubs: what is read of a function as it was written, and nothing is run for that."""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.record import Record

Definition = ast.FunctionDef | ast.AsyncFunctionDef


class Stub(Record):
    """A function whose body is to be generated."""

    app_name: str
    name: str
    kind: str
    """"function" or "endpoint"."""
    source: str
    """From `def` or `async def` to its end, dedented; decorators are left out."""
    imports: tuple[str, ...] = ()
    """Import statements, one each, that bind the names in its signature."""
    file: str = ""
    """The file that it stands in."""
    module: str = ""
    """What that is imported as; a script by its file's name."""
    root: str = ""
    """The folder that this is imported from."""

    @property
    def definition(self) -> Definition:
        """The function, parsed."""
        (found,) = ast.parse(self.source).body
        assert isinstance(found, Definition)
        return found

    @property
    def is_generator(self) -> bool:
        """Whether it yields, in its own body."""
        return any(
            isinstance(node, ast.Yield | ast.YieldFrom) for node in own_nodes(self.definition)
        )


def own_nodes(definition: Definition) -> Iterator[ast.AST]:
    """What is in a function's body, apart from what is in functions and classes in there."""
    waiting: list[ast.AST] = [*definition.body]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Definition | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))


def stub_of(function: Callable[..., Any], app_name: str, kind: str) -> Stub:
    """Read a function.

    Raises:
        InvalidOption: its source cannot be read, or its signature needs what cannot be imported.
    """
    name = function.__name__
    try:
        lines, _ = inspect.getsourcelines(function)
        file = Path(inspect.getsourcefile(function) or "").resolve()
        (definition,) = ast.parse(source := textwrap.dedent("".join(lines))).body
    except (OSError, TypeError, SyntaxError, ValueError) as error:
        raise InvalidOption(
            f"{name}() is to be generated from its source, which cannot be read ({error}): write "
            "it into a file, as a function of its own",
            option="liv",
        ) from error
    if not isinstance(definition, Definition):
        raise InvalidOption(f"{name} is no `def`; only such functions are generated", option="liv")
    written = ast.get_source_segment(source, definition)
    assert written is not None
    module = file.stem if function.__module__ == "__main__" else function.__module__
    depth = module.count(".") + (file.stem == "__init__")
    scope = _Scope(file, module, function)
    wanted = sorted({*names_of(definition)})
    imports = (scope.imported(name, is_needed=is_needed) for name, is_needed in wanted)
    return Stub(
        app_name,
        name,
        kind,
        written,
        tuple(dict.fromkeys(filter(None, imports))),
        str(file),
        module,
        str(file.parents[depth]),
    )


def names_of(definition: Definition) -> Iterator[tuple[str, bool]]:
    """The names in a signature, and whether each has to be there: in a text one may be no name."""
    for node in signature_nodes(definition):
        if isinstance(node, ast.Name):
            yield node.id, True
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from ((name, False) for name in _names_in_text(node.value))


def signature_nodes(definition: Definition) -> Iterator[ast.AST]:
    """All that is in the annotations and the defaults."""
    yield from ast.walk(definition.args)
    if definition.returns is not None:
        yield from ast.walk(definition.returns)


def _names_in_text(text: str) -> list[str]:
    """The names in an annotation that is written as a text."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return []
    return [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]


class _Scope:
    """The module that a stub stands in."""

    def __init__(self, file: Path, module: str, function: Callable[..., Any]) -> None:
        self._module = module
        self._function = function
        tree = ast.parse(file.read_text("utf-8"))
        self._imports = {
            alias.asname or alias.name.partition(".")[0]: (node, alias)
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }

    def imported(self, name: str, *, is_needed: bool) -> str | None:
        """The statement that imports a name elsewhere; None for what is there anyway.

        Raises:
            InvalidOption: it is nothing of the module.
        """
        if name in self._imports:
            return self._statement(*self._imports[name])
        if name in vars(sys.modules.get(self._function.__module__, builtins)):
            return None if hasattr(builtins, name) else f"from {self._module} import {name}"
        if not is_needed or hasattr(builtins, name):
            return None
        raise InvalidOption(
            f"the signature of {self._function.__name__}() needs {name!r}, which is nothing of "
            f"{self._module}: what is generated stands in a module of its own and has to import it",
            option="liv",
        )

    def _statement(self, node: ast.Import | ast.ImportFrom, alias: ast.alias) -> str:
        if isinstance(node, ast.Import):
            return ast.unparse(ast.Import([alias]))
        origin = node.module or ""
        if node.level:
            package = self._package().split(".")
            kept = package[: len(package) - node.level + 1]
            origin = ".".join([*kept, *filter(None, [node.module])])
        return ast.unparse(ast.ImportFrom(origin, [alias], 0))

    def _package(self) -> str:
        module = sys.modules.get(self._function.__module__)
        return str(getattr(module, "__package__", None) or self._module.rpartition(".")[0])
