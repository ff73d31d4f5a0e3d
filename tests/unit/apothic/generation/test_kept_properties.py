"""Whatever is answered: what is kept is one function of the stub's header, and harmless imports."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings, strategies as st

from apothic.generation.checks import kept
from apothic.generation.findings import Refused
from apothic.generation.imports import DEFAULT_MODULES
from tests.unit.apothic.generation.stubbed import NORMALIZE, stub_of

Lines = st.SearchStrategy[list[str]]

TOP = (
    "import re, json as j",
    "from decimal import Decimal as D, localcontext",
    "print('top')",
    "Other = 1",
    "class Thing: pass",
    "# \u202e",
)
STRANGE_TOP = (
    "import os.path",
    "from math import *",
    "from . import secret",
    "helper = print",
    "def normalize(status): return status",
    "@print",
    "```",
    "```python",
    "Some words.",
)
HEADERS = (
    "def normalize(status):",
    "def normalize(status, *, prefix=print('now')):",
    "def normalize(*status: eval('1'), **prefix) -> eval('1'):",
)
STRANGE_HEADERS = ("async def normalize(status):", "def normalise(status):", "class normalize:")
BODY = (
    '"""A text."""',
    "return re.sub('a', prefix, status)",
    "return D(status)",
    "status = j.dumps(status)  # \u202e",
    "y = '\\u200b\\n'; u'x'",
    "@print\n    def inner(x=1): return x",
    "class Inner(str):\n        x: int = 1",
    'return f\'{status!r:>{len(prefix)}}\' \'\\n\\\'"\' + """a\nb"""',
    "[x for x in status if (y := x)]",
    "if status: return 1e999\n    elif prefix: return -1j",
    "import io; return io.StringIO(status)",
)
STRANGE_BODY = (
    "x = '\u200b'",
    "yield status",
    "helper(status)",
    "return status.__class__",
    "raise NotImplementedError",
    "os.path.join(status)",
)


def some(lines: tuple[str, ...], strange: tuple[str, ...], least: int) -> Lines:
    """Some of the lines, and rarely strange ones."""
    return st.lists(st.sampled_from(lines * 8 + strange), min_size=least, max_size=4)


answers = st.builds(
    lambda top, header, body, end: "\n".join([*top, header, *(f"    {x}" for x in body), *end]),
    some(TOP, STRANGE_TOP, 0),
    st.sampled_from(HEADERS * 4 + STRANGE_HEADERS),
    some(BODY, STRANGE_BODY, 1),
    some(TOP, STRANGE_TOP, 0),
)


@settings(deadline=None, max_examples=150)
@given(answers)
def test_what_is_kept_is_one_function_of_the_stubs_header_and_keeping_it_changes_nothing(
    answer: str,
) -> None:
    stub = stub_of()
    try:
        code = kept(answer, stub, None)
    except Refused:
        return

    *imports, function = ast.parse(code).body
    (wanted,) = ast.parse(NORMALIZE).body
    assert isinstance(function, ast.FunctionDef)
    assert isinstance(wanted, ast.FunctionDef)
    assert ast.dump(function.args) == ast.dump(wanted.args)
    assert (function.name, function.decorator_list) == ("normalize", [])
    assert ast.get_docstring(function) == ast.get_docstring(wanted)
    for node in imports:
        assert isinstance(node, ast.Import | ast.ImportFrom)
        origin = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        assert origin in DEFAULT_MODULES | {"io"}
    assert code.replace("\n", "").isprintable()
    assert kept(code, stub, None) == code
    assert kept(f"So:\n```python\n{code}```", stub, None) == code


@settings(deadline=None, max_examples=50)
@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_text_is_answered_with_findings(answer: str) -> None:
    with pytest.raises(Refused):
        kept(answer, stub_of(), None)
