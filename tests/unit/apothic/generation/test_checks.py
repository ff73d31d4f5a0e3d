"""What is kept of an answer is one function under the stub's header, and the imports it needs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.apothic.generation.stubbed import GOOD, answered, bodied, refused, stub_of


def test_the_header_and_the_docstring_are_the_stubs() -> None:
    answer = '''\
def normalize(status: "lie", *, prefix=print("default")) -> "lie":
    """Lies."""
    # and a comment
    return prefix + status
'''

    assert (
        answered(answer)
        == '''\
def normalize(status: str, *, prefix: str='status:') -> str:
    """Return the prefix, followed by the status in lower case, without blanks around it."""
    return prefix + status
'''
    )


def test_imports_that_the_body_uses_are_kept() -> None:
    answer = f"import json, re\nfrom math import floor as down, ceil\n{bodied('down(re)')}"

    assert answered(answer).startswith("import re\nfrom math import floor as down\n\n\ndef ")


def test_imports_of_the_stub_come_first_and_once() -> None:
    source = "def price(amount: Decimal) -> Decimal:\n    ..."
    answer = """\
from decimal import Decimal
from decimal import ROUND_UP
def price(amount):
    return amount.quantize(Decimal("0.01"), ROUND_UP)
"""

    assert answered(answer, stub=stub_of(source, "from decimal import Decimal")) == (
        "from decimal import Decimal\nfrom decimal import ROUND_UP\n\n\n"
        "def price(amount: Decimal) -> Decimal:\n"
        "    return amount.quantize(Decimal('0.01'), ROUND_UP)\n"
    )


def test_code_beside_the_function_that_it_does_not_need_is_dropped() -> None:
    answer = f"VERSION = 1\n{GOOD}\nif __name__ == '__main__':\n    print(normalize('a'))\n"

    assert answered(answer) == answered(GOOD)


@pytest.mark.parametrize(
    "outside",
    [
        "def helper(text): return text",
        "class helper: pass",
        "helper = str.strip",
        "try:\n    helper = 1\nexcept NameError:\n    pass",
    ],
)
def test_what_the_body_needs_has_to_be_in_it(outside: str) -> None:
    (finding,) = refused(f"{outside}\n{bodied('helper(status)')}")

    assert finding.text == "helper is defined outside of normalize(): put it inside"


def test_helpers_within_the_function_are_kept() -> None:
    answer = bodied("def clean(text: str) -> str:", "    return text.strip()", "clean(status)")

    assert "def clean(text: str) -> str:" in answered(answer)


def test_a_function_may_call_itself() -> None:
    assert answered(bodied("if status[1:]: return normalize(status[1:])"))


def test_a_name_that_nothing_defines_is_refused() -> None:
    (finding,) = refused(bodied("x = 1", "re.sub(x, '', status)"))

    assert finding == (
        "name",
        3,
        "re is not defined: only imports are there outside of normalize()",
    )


@pytest.mark.parametrize(
    "body",
    ["pass", "...", "raise NotImplementedError", "raise NotImplementedError('todo')", "'Doc.'"],
)
def test_an_empty_body_is_refused(body: str) -> None:
    (finding,) = refused(f"def normalize(status):\n    {body}")

    assert finding == ("empty", 1, "normalize() is not implemented")


def test_an_argument_that_the_stub_has_not_is_refused() -> None:
    (finding,) = refused("def normalize(status, suffix=''): return status + suffix")

    assert finding.text == "there is no argument 'suffix': they are status, prefix"


SYNC, ASYNC = "def count(n: int):\n    ...", "async def count(n: int):\n    ..."


@pytest.mark.parametrize(
    ("stub", "answer", "wanted"),
    [
        (SYNC, "async def count(n): return n", "write `def count`"),
        (ASYNC, "def count(n): return n", "write `async def count`"),
        (SYNC, "def count(n): yield n", "has to return its value"),
        (f"{SYNC}\n    yield", "def count(n): return [n]", "has to yield its values"),
        (f"{ASYNC}\n    yield", "async def count(n): return [n]", "has to yield its values"),
    ],
)
def test_the_kind_of_function_is_the_stubs(stub: str, answer: str, wanted: str) -> None:
    (finding,) = refused(answer, stub=stub_of(stub))

    assert wanted in finding.text


@pytest.mark.parametrize("body", ["yield from range(n)", "yield n", "print((yield n))"])
def test_generators_are_kept(body: str) -> None:
    assert body in answered(f"def count(n): {body}", stub=stub_of(f"{SYNC}\n    yield"))


def test_yields_of_inner_functions_are_their_own() -> None:
    answer = "def count(n):\n    def inner(): yield n\n    return list(inner())"

    assert "yield n" in answered(answer, stub=stub_of(SYNC))


def test_what_clashes_with_the_stubs_arguments_is_refused() -> None:
    assert refused("def normalize(status):\n    nonlocal prefix")[0].rule == "syntax"
    assert refused("def normalize(status):\n    global prefix\n    prefix = 1")[0].rule == "syntax"


def test_h1_nothing_of_an_answer_runs_when_it_is_checked(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    act = f"__import__('pathlib').Path({str(canary)!r}).touch()"
    answer = f"""\
{act}
@({act} or (lambda function: function))
def normalize(status: {act} = {act}, *, prefix: {act} = {act}) -> {act}:
    return prefix + status
class Body:
    {act}
"""
    program = (
        "import sys; from tests.unit.apothic.generation.stubbed import answered;"
        "exec(answered(sys.stdin.read()))"
    )

    subprocess.run([sys.executable, "-c", program], input=answer, text=True, check=True)

    assert not canary.exists()
    assert answered(answer) == answered(bodied())


@pytest.mark.parametrize(
    "line",
    [
        "@exec",
        "@(lambda f: eval('f'))",
        "@status.__class__",
    ],
)
def test_h1_decorators_of_inner_functions_are_checked(line: str) -> None:
    assert refused(bodied(line, "def inner(): pass"))[0].line == 2


@pytest.mark.parametrize(
    "line",
    [
        "def inner(x=eval('1')): pass",
        "def inner(x: eval('1')): pass",
        "def inner() -> eval('1'): pass",
        "class Inner: x = eval('1')",
        "class Inner(eval('1')): pass",
        "class Inner(metaclass=eval('1')): pass",
        "x: eval('1') = 1",
        "x = lambda y=eval('1'): y",
        "x = [eval(y) for y in status]",
    ],
)
def test_h1_what_runs_where_something_is_defined_is_checked(line: str) -> None:
    assert "eval is not there for generated code" in refused(bodied(line))[0].text


def test_h7_only_the_function_and_its_imports_are_kept() -> None:
    body = bodied("x = re.sub('a', 'b', status)  # type: str \u200b")
    answer = (
        f"# type: ignore \u202e\nimport re, json\nprint('extra')\n{body}prefix = normalize = 2\n"
    )
    kept = answered(answer)

    nodes = ast.parse(kept, type_comments=True).body
    assert [type(node) for node in nodes] == [ast.Import, ast.FunctionDef]
    assert "#" not in kept
    assert kept.isascii()


@pytest.mark.parametrize(
    "character",
    ["\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\u2028", "\x1b", "\x08", "\xa0"],
)
def test_h7_characters_that_are_not_seen_are_refused_in_texts(character: str) -> None:
    finding = refused(bodied(f"x = '{character}'"))[0]

    assert (finding.rule, finding.line) == ("character", 2)
    assert f"U+{ord(character):04X}" in finding.text
    assert refused(bodied(f"x = f'{character}{{status}}'"))[0].rule == "character"


def test_h7_characters_that_are_not_seen_may_be_escapes() -> None:
    escaped = answered(bodied("x = status.replace('\\u200b', '').split('\\xa0')"))

    assert "'\\u200b'" in escaped
    assert escaped.isascii()


def test_letters_of_all_languages_may_be_in_texts() -> None:
    assert "'é 中 🙂'" in answered(bodied("x = 'é 中 🙂'"))


def test_h7_names_that_look_like_others_are_refused() -> None:
    assert refused(bodied("st\u0430tus = 1"))[0].text.startswith("write names in ASCII")
    assert refused(bodied("\u3164 = 1"))[0].text.startswith("write names in ASCII")
    assert "eval is not there" in refused(bodied("\uff45val('1')"))[0].text


def test_names_of_the_stub_may_have_all_letters() -> None:
    stub = stub_of("def größe(maß: int) -> int:\n    ...")

    assert "return größe(maß)" in answered("def größe(maß): return größe(maß)", stub=stub)


def test_findings_are_told_by_line() -> None:
    answer = f"import os\n{bodied('x = os.environ', 'y = status.__class__', 'eval(y)')}"

    assert [(finding.rule, finding.line) for finding in refused(answer)] == [
        ("import", 1),
        ("name", 4),
        ("name", 5),
    ]
