"""What is kept of a model's answer: one function and the imports that it needs.

An answer is parsed and compiled here, and never run. What is kept has the header of the stub, so
that decorators, defaults and annotations of the answer, which run when a module is imported, are
not in it; and nothing else of the answer stands outside of the function.

The checks are a lint for honest models, whose findings go back to them. They are no boundary: what
holds generated code is the sandbox that its examples are run in.
"""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterator

from apothic.generation.answers import Code, code_of, parsed
from apothic.generation.findings import Finding, Refused, refuse
from apothic.generation.forbidden import RUNS_OR_REACHES, forbidden, hidden_characters
from apothic.generation.imports import (
    DEFAULT_MODULES,
    Import,
    imports_in,
    may_open,
    paths_of,
    refused_imports,
    refused_uses,
    strange_imports,
    uses_in,
)
from apothic.generation.stubs import Definition, Stub, own_nodes, signature_nodes

_BUILTINS = frozenset(dir(builtins))


def kept(answer: str, stub: Stub, allowed: frozenset[str] | None) -> str:
    """The Python of a model's answer: imports, and the function under the stub's own header.

    What the function does not need is dropped, comments as well. `allowed` are the modules, or
    parts of some, that it may use; None for `DEFAULT_MODULES`.

    Raises:
        Refused: the answer cannot be used; its findings say all that is to be changed.
    """
    code = code_of(answer, stub.name)
    if findings := [*_other_header(code.function, stub)]:
        raise Refused(findings)
    candidate = _Candidate(code, stub, DEFAULT_MODULES if allowed is None else allowed)
    if findings := [*candidate.findings()]:
        raise Refused(findings)
    return candidate.text()


class _Candidate:
    """An answer beside the stub that it is for."""

    def __init__(self, code: Code, stub: Stub, allowed: frozenset[str]) -> None:
        self._code = code
        self._stub = stub
        self._definition = stub.definition
        self._body = _without_texts(code.function.body)
        self._nodes = [node for statement in self._body for node in ast.walk(statement)]
        self._stub_imports = [*imports_in(ast.parse("\n".join(stub.imports)).body)]
        self._allowed = allowed | self._of_signature()
        self._free = _free_names(self._function())
        self._imports = [*self._needed_imports()]

    def _of_signature(self) -> frozenset[str]:
        """What the stub's author named in its signature, which thus may be used."""
        named = frozenset(one.path for one in self._stub_imports if one.name is not None)
        uses = uses_in(signature_nodes(self._definition))
        return named | paths_of(uses, self._stub_imports)

    def _needed_imports(self) -> Iterator[Import]:
        """Those of the answer's top level whose names the body uses, in their order."""
        there = {one._replace(line=0) for one in self._stub_imports}
        for one in imports_in(self._code.tree.body):
            if one.bound in self._free and one._replace(line=0) not in there:
                there.add(one._replace(line=0))
                yield one

    def findings(self) -> Iterator[Finding]:
        """All that is wrong."""
        function = self._code.function
        if all(_does_nothing(statement) for statement in self._body):
            yield Finding("empty", function.lineno, f"{function.name}() is not implemented")
        yield from hidden_characters(self._code.text, function.lineno, function.end_lineno or 0)
        yield from forbidden(self._nodes, {function.name, *_arguments(self._definition)})
        yield from self._wrong_imports()
        yield from self._wrong_names()

    def _wrong_imports(self) -> Iterator[Finding]:
        of_answer = [*self._imports, *imports_in(self._nodes)]
        yield from strange_imports([*self._code.tree.body, *self._nodes])
        yield from refused_imports(of_answer, self._allowed)
        imports = [*self._stub_imports, *of_answer]
        yield from refused_uses(uses_in(self._nodes), imports, self._allowed)

    def _wrong_names(self) -> Iterator[Finding]:
        """Names that are nothing where the function will stand, or builtins that it may not use."""
        imported = {one.bound for one in [*self._stub_imports, *self._imports]}
        outside = _top_names(self._code)
        function = self._code.function.name
        uses = sorted(uses_in(self._nodes), key=lambda use: -use.line)
        lines = {use.name: use.line for use in uses}  # the first one
        for name in sorted(self._free - imported - {function}):
            line = lines.get(name, 0)
            if name in outside:
                text = f"{name} is defined outside of {function}(): put it inside"
                yield Finding("name", line, text)
            elif name not in _BUILTINS:
                text = f"{name} is not defined: only imports are there outside of {function}()"
                yield Finding("name", line, text)
            elif name in RUNS_OR_REACHES and not (name == "open" and may_open(self._allowed)):
                text = f"{name} is not there for generated code: {RUNS_OR_REACHES[name]}"
                yield Finding("name", line, text)

    def _function(self) -> Definition:
        """The header and the docstring of the stub, with the body of the answer."""
        function = self._stub.definition
        has_docstring = ast.get_docstring(function, clean=False) is not None
        function.body = [*function.body[:has_docstring], *(self._body or [ast.Pass()])]
        return function

    def text(self) -> str:
        """The module.

        Raises:
            Refused: it cannot be written so that it means the same.
        """
        imports = [*self._stub.imports, *(one.text for one in self._imports)]
        function = self._function()
        tree = ast.Module([*ast.parse("\n".join(imports)).body, function], [])
        text = f"{_written(function)}\n"
        if imports:
            text = "\n".join(imports) + f"\n\n\n{text}"
        if ast.dump(parsed(text)) != ast.dump(tree):  # pragma: no cover - a bug of ast.unparse
            raise refuse("syntax", "write it with simpler literals: Python does not read it back")
        return text


def _without_texts(body: list[ast.stmt]) -> list[ast.stmt]:
    """A body without the docstring, and the texts that would be it then."""
    for at, statement in enumerate(body):
        if not _is_text(statement):
            return body[at:]
    return []


def _does_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Raise) and statement.exc is not None:
        raised = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
        return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"
    return isinstance(statement, ast.Pass) or _is_text(statement)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _other_header(function: Definition, stub: Stub) -> Iterator[Finding]:
    """What calls would notice."""
    if type(function) is not type(stub.definition):
        wanted = "def" if isinstance(function, ast.AsyncFunctionDef) else "async def"
        yield Finding("kind", function.lineno, f"write `{wanted} {function.name}`, as it was given")
    yields = any(isinstance(node, ast.Yield | ast.YieldFrom) for node in own_nodes(function))
    if yields != stub.is_generator:
        wanted = "yield its values" if stub.is_generator else "return its value, and not yield"
        yield Finding("kind", function.lineno, f"{function.name}() has to {wanted}")
    known = [*_arguments(stub.definition)]
    for name in _arguments(function):
        if name not in known:
            text = f"there is no argument {name!r}: they are {', '.join(known) or 'none'}"
            yield Finding("arguments", function.lineno, text)


def _arguments(definition: Definition) -> Iterator[str]:
    return (node.arg for node in ast.walk(definition.args) if isinstance(node, ast.arg))


def _top_names(code: Code) -> set[str]:
    """What the answer defines beside the function, other than by imports."""
    others = [node for node in code.tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    named = {node.name for node in others if isinstance(node, Definition | ast.ClassDef)}
    stored = (node for other in others if other is not code.function for node in ast.walk(other))
    return named | {node.id for node in stored if isinstance(node, ast.Name)}


def _free_names(function: Definition) -> frozenset[str]:
    """The names that a function takes from the module around it, or from the builtins."""
    text = _written(function)
    parsed(text)
    tables = symtable.symtable(text, "<answer>", "exec").get_children()
    for table in tables:
        tables.extend(table.get_children())
    symbols = (symbol for table in tables for symbol in table.get_symbols())
    return frozenset(symbol.get_name() for symbol in symbols if symbol.is_global())


def _written(function: Definition) -> str:
    try:
        return ast.unparse(ast.fix_missing_locations(function))
    except (ValueError, RecursionError) as error:  # digits or quotes that cannot be written
        raise refuse("syntax", f"write it with simpler literals ({error})") from error
