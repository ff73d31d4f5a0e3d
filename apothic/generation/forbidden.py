"""What the body of a generated function may not do.

This is a lint for honest models: it finds what they write by mistake, and the usual ways out of
Python's scopes. Who means to get around it can; generated code is held by the sandbox alone.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from typing import cast

from apothic.generation.findings import Finding

RUNS_OR_REACHES = {
    "__import__": "import by a statement",
    "breakpoint": "nobody is there to debug",
    "compile": "write the code itself",
    "eval": "compute the value; json.loads and ast.literal_eval read plain ones",
    "exec": "write the code itself",
    "exit": "return or raise",
    "globals": "take what is needed as an argument",
    "help": "nobody is there to read",
    "input": "nobody is there to type; take what is needed as an argument",
    "locals": "use a dictionary",
    "open": "no files: work with the arguments, or allow io, os or pathlib in allowed_modules",
    "quit": "return or raise",
    "vars": "use a dictionary",
}
"""Builtins that run texts as code, reach into other scopes, or wait for people; with what to do."""

_DUNDER = re.compile(r"__\w+__")
_OPERATOR = re.compile(
    "__(abs|add|aenter|aexit|aiter|and|anext|bool|call|contains|delitem|doc|enter|eq|exit|float"
    "|floordiv|format|ge|getitem|gt|hash|index|init|int|iter|le|len|lt|main|matmul|missing|mod|mul"
    "|name|ne|neg|next|or|pos|post_init|pow|qualname|radd|repr|reversed|rmul|rsub|rtruediv|setitem"
    "|slots|str|sub|truediv|xor)__"
)
"""What classes define to be added, compared and printed: it leads nowhere."""
_WALKER = re.compile(
    "(ag|cr|gi)_(await|code|frame|origin|yieldfrom)|co_(code|consts|names|varnames)|mro"
    "|f_(back|builtins|code|globals|lasti|lineno|locals|trace)|func_(code|globals)"
    "|tb_(frame|lasti|lineno|next)"
)
"""Steps from a value to the frames, the code and the classes behind it."""
_BY_TEXT = frozenset({"getattr", "setattr", "delattr"})
_STEP_IN_TEXT = re.compile(r"(?:^|\.)(\w+)")


def forbidden(nodes: Sequence[ast.AST], names: set[str]) -> Iterator[Finding]:
    """What is wrong with the nodes of a body; `names` are allowed to have any letters."""
    for node in nodes:
        line = getattr(node, "lineno", 0)
        for word in _words(node):
            if _is_hidden(word):
                yield Finding("name", line, f"{word!r} reaches into the interpreter: leave it")
            elif not word.isascii() and word not in names:
                yield Finding("name", line, f"write names in ASCII, not as {word!a}")
        if isinstance(node, ast.Global):
            yield Finding("name", line, "no `global`: nothing stays between two calls")
    yield from _by_text(nodes)


def _words(node: ast.AST) -> Iterator[str]:
    """The identifiers of a node, or what would be one in its text."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield from (word for word in _STEP_IN_TEXT.findall(node.value) if _is_hidden(word))
        return
    fields: list[object] = [value for _, value in ast.iter_fields(node)]
    for value in fields:
        words = cast("list[object]", value) if isinstance(value, list) else [value]
        yield from (part for word in words if isinstance(word, str) for part in word.split("."))


def _is_hidden(word: str) -> bool:
    if _DUNDER.fullmatch(word):
        return not _OPERATOR.fullmatch(word)
    return bool(_WALKER.fullmatch(word))


def _by_text(nodes: Sequence[ast.AST]) -> Iterator[Finding]:
    """Attributes that are named by a text which is not there to be read."""
    calls = {id(node.func): node.args for node in nodes if isinstance(node, ast.Call)}
    for node in nodes:
        if not isinstance(node, ast.Name) or node.id not in _BY_TEXT:
            continue
        if not _is_public_literal(calls.get(id(node), [])[1:2]):
            text = f"call {node.id}() with a literal name of a public attribute, or not at all"
            yield Finding("name", node.lineno, text)


def _is_public_literal(args: list[ast.expr]) -> bool:
    texts = [arg.value for arg in args if isinstance(arg, ast.Constant)]
    return any(isinstance(text, str) and not text.startswith("_") for text in texts)


def hidden_characters(text: str, first: int, last: int) -> Iterator[Finding]:
    """Characters that are not seen, or turn others around, in lines of code; not in comments."""
    if text.replace("\n", "").replace("\t", "").isprintable():
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        line = token.start[0]
        if token.type == tokenize.COMMENT or not first <= line <= last:
            continue
        for character in token.string:
            if not (character.isprintable() or character in "\n\t"):
                text = f"nobody sees U+{ord(character):04X}: write that character as an escape"
                yield Finding("character", line, text)
