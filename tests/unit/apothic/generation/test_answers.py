"""Code is taken out of what models write around it, within bounds."""

from __future__ import annotations

import pytest

from tests.unit.apothic.generation.stubbed import GOOD, answered, refused, stub_of

FENCED = f"```python\n{GOOD}```"


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        f"\ufeff{GOOD}",
        GOOD.replace("\n", "\r\n"),
        FENCED,
        f"Here it is:\n\n{FENCED}\n\nIt strips blanks.",
        f"~~~~\n{GOOD}~~~~",
        f"````py title=x\n{GOOD}````",
        f"```python\n{GOOD}```\nNothing to install:\n```bash\npip install nothing\n```",
        f"<think>\n```python\ndef normalize(s): return s\n```\n</think>\n{FENCED}",
        "1. So:\n   " + FENCED.replace("\n", "\n   "),
        f"```python\nimport re\ndef helper(): pass\n```\n{FENCED}\n```python\nnormalize('a')\n```",
    ],
    ids=[
        "bare",
        "with a byte order mark",
        "with line ends of Windows",
        "fenced",
        "explained",
        "tildes",
        "long fence",
        "with a command",
        "thought",
        "in a list",
        "with an example",
    ],
)
def test_the_function_is_found(answer: str) -> None:
    assert answered(answer) == answered(GOOD)


def test_a_fence_within_the_code_does_not_end_it() -> None:
    text = GOOD.replace("return", '"""\n    ```\n    """\n    return')

    assert answered(f"```python\n{text}```") == answered(GOOD)


def test_the_last_of_several_versions_is_taken() -> None:
    better = GOOD.replace("lower", "casefold")

    assert "casefold" in answered(f"{FENCED}\nBetter:\n```python\n{better}```")


def test_a_block_that_is_cut_off_is_refused() -> None:
    (finding,) = refused(f"```python\n{GOOD}")

    assert finding.rule == "cut"


@pytest.mark.parametrize("answer", ["", "I cannot help with that.", "```\n```", "x = 1"])
def test_an_answer_without_a_function_is_told_what_to_write(answer: str) -> None:
    (finding,) = refused(answer)

    assert finding.text.startswith("no def normalize() in it: answer with one block of code")


def test_a_function_of_another_name_is_refused() -> None:
    (finding,) = refused(GOOD.replace("normalize", "normalise"))

    assert finding.text.startswith("it defines normalise, not normalize")


def test_a_function_within_a_class_is_not_the_one_asked_for() -> None:
    method = GOOD.replace("\n", "\n    ")

    assert "it defines Solution" in refused(f"class Solution:\n    {method}")[0].text


def test_two_functions_of_the_name_are_refused() -> None:
    assert "twice" in refused(f"{GOOD}\n{GOOD}")[0].text


def test_what_does_not_compile_says_where() -> None:
    (finding,) = refused(f"```python\n{GOOD}    return )\n```")

    assert (finding.rule, finding.line) == ("syntax", 3)


def test_what_parses_but_does_not_compile_is_refused() -> None:
    (finding,) = refused(GOOD.replace("return", "nonlocal x\n    return"))

    assert finding.text == "SyntaxError: no binding for nonlocal 'x' found"


def test_strange_escapes_warn_nobody() -> None:
    assert answered(GOOD.replace("strip()", "strip('\\d')"))


@pytest.mark.parametrize("text", ["\0", "\ud800"], ids=["nul", "half a character"])
def test_what_no_source_may_have_is_refused(text: str) -> None:
    assert refused(GOOD.replace("strip()", f"strip('{text}')"))[0].rule == "syntax"


@pytest.mark.parametrize(
    "code",
    [
        "x = " + "-" * 60_000 + "1",
        "x = " + "1+" * 30_000 + "1",
        "x = a" + ".a" * 30_000,
        "x = " + "1 if x else " * 5_000 + "1",
        "if x:\n pass\n" + "elif x:\n pass\n" * 4_000,
        "x = " + "not " * 15_000 + "1",
        "x = " + "1+" * 110 + "1",
        "x = '" + "a" * 2**20 + "'",
        "#" * 2**21,
    ],
    ids=["minus", "sums", "dots", "ifs", "elifs", "nots", "hundred", "megabyte", "answer"],
)
def test_h7_what_is_too_deep_or_too_long_is_refused(code: str) -> None:
    assert [finding.rule for finding in refused(f"{GOOD}\n{code}\n")] == ["size"]


def test_a_number_too_long_to_be_written_is_refused() -> None:
    assert refused(GOOD.replace("prefix +", f"0x{'f' * 10_000},"))[0].rule == "syntax"


def test_what_grows_too_long_when_it_is_laid_out_is_refused() -> None:
    levels = "".join(f"{' ' * level}if status:\n" for level in range(1, 80))
    answer = f"def normalize(status):\n{levels}" + f"{' ' * 80}return 1\n" * 600

    assert refused(answer)[0].rule == "size"


def test_only_so_many_findings_are_told() -> None:
    answer = GOOD.replace("return", ";".join(f"unknown{n}" for n in range(50)) + "\n    return")

    assert len(refused(answer)) == 20


def test_an_async_stub_has_its_answer_found() -> None:
    stub = stub_of("async def wait() -> int:\n    ...")

    assert answered("async def wait(): return 1", stub=stub).endswith("    return 1\n")
