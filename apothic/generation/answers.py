"""The code in a model's answer: taken out of its markdown and parsed, within bounds."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from apothic.generation.findings import Finding, Refused, refuse
from apothic.generation.stubs import Definition

MOST_OF_ANSWER = 1024 * 1024
"""Characters of an answer, with all that it explains."""
MOST_OF_CODE = 64 * 1024
"""Characters of its code."""
DEEPEST = 100
"""Levels of what stands within each other; more than people read, less than Python can bear."""

_FENCE = re.compile(r"( *)(`{3,}|~{3,})([^`]*)")
_ONE_BLOCK = "answer with one block of code, between ```python and ```"


class Code(NamedTuple):
    """A block that defines the function."""

    text: str
    tree: ast.Module
    function: Definition


def code_of(answer: str, name: str) -> Code:
    """The last block of an answer that defines the function; without blocks, all of it.

    Raises:
        Refused: there is none, it is cut off, it does not compile, or is too large.
    """
    if len(answer) > MOST_OF_ANSWER:
        raise refuse("size", f"the answer is longer than {MOST_OF_ANSWER:,} characters: only code")
    failures: list[Finding] = []
    plain = answer.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    for text in reversed(_blocks(plain)):
        try:
            tree = parsed(text)
        except Refused as refused:
            failures.extend(refused.findings if _mentions(text, name) else ())
        else:
            if functions := [node for node in tree.body if _defines(node, name)]:
                return _code(text, tree, functions)
            failures.extend(_others(tree, name))
    raise Refused(failures or [Finding("function", 0, f"no def {name}() in it: {_ONE_BLOCK}")])


def parsed(text: str) -> ast.Module:
    """Parse and compile code, which is never run.

    Raises:
        Refused: it does not compile, or is too large.
    """
    if len(text) > MOST_OF_CODE:
        raise refuse("size", f"the code is longer than {MOST_OF_CODE:,} characters: write less")
    try:
        with warnings.catch_warnings():  # such as of "\d": no news for who reads the terminal
            warnings.simplefilter("ignore")
            tree = _shallow(ast.parse(text))
            compile(tree, "<answer>", "exec", dont_inherit=True)  # finds `await` out of place, say
    except SyntaxError as error:
        raise refuse("syntax", f"SyntaxError: {error.msg}", error.lineno or 0) from error
    except ValueError as error:  # characters that no source may have
        raise refuse("syntax", f"it is no Python: {error}") from error
    except (RecursionError, MemoryError) as error:
        raise refuse("size", f"the code is nested more than {DEEPEST} levels deep") from error
    return tree


def _blocks(answer: str) -> list[str]:
    blocks: list[str] = []
    lines: list[str] = []
    opening: re.Match[str] | None = None
    for line in answer.split("\n"):
        if opening is None:
            opening = _FENCE.fullmatch(line)
        elif _closes(line, opening):
            blocks.append("\n".join(lines))
            lines, opening = [], None
        else:
            lines.append(re.sub(rf"^ {{0,{len(opening[1])}}}", "", line))
    if opening is not None:
        raise refuse("cut", f"the last block of code has no end: {_ONE_BLOCK}")
    return blocks or [answer]


def _closes(line: str, opening: re.Match[str]) -> bool:
    marks = line.strip(" ")
    indent = len(line) - len(line.lstrip(" "))
    long_enough = len(marks) >= len(opening[2]) and {*marks} == {opening[2][0]}
    return long_enough and indent <= len(opening[1]) + 3


def _shallow(tree: ast.Module) -> ast.Module:
    level: list[ast.AST] = [tree]
    for _ in range(DEEPEST):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    if level:
        raise RecursionError
    return tree


def _mentions(text: str, name: str) -> bool:
    return f"def {name}" in text


def _defines(node: ast.stmt, name: str) -> bool:
    return isinstance(node, Definition) and node.name == name


def _code(text: str, tree: ast.Module, functions: list[ast.stmt]) -> Code:
    *others, function = functions
    assert isinstance(function, Definition)
    if others:
        raise refuse("function", f"{function.name}() is defined twice: once only", function.lineno)
    return Code(text, tree, function)


def _others(tree: ast.Module, name: str) -> Iterator[Finding]:
    for node in tree.body:
        if isinstance(node, Definition | ast.ClassDef):
            yield Finding(
                "function",
                node.lineno,
                f"it defines {node.name}, not {name}: write a `def {name}` that stands by itself",
            )
