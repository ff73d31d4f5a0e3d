"""The recorded answers of the evaluation set are generated from and pass calls they do not know."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apothic.generation.checks import kept
from apothic_backends.model.sandboxes import IsolationMissing
from tests.generation.evaluation.cases import Case, all_cases
from tests.generation.evaluation.runs import Asked, Outcome, outcome_of, replayed, report

CASES = all_cases()
REPAIRED = {
    "build_order",
    "chunks",
    "human_bytes",
    "read_table",
    "roman",
    "seconds_of",
    "slugify",
    "split_bill",
}


@pytest.fixture(scope="module")
def recorded() -> Iterator[Asked]:
    with replayed() as asked:
        yield asked


def test_there_are_thirty() -> None:
    assert len({case.name for case in CASES}) == len(CASES) == 30
    assert {case.name for case in CASES if len(case.answers) > 1} == REPAIRED


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_generated_passes_calls_that_it_was_not_told_of(
    case: Case, recorded: Asked
) -> None:
    try:
        outcome = outcome_of(case, recorded(case))
    except IsolationMissing as missing:
        pytest.skip(f"no isolation on this machine: {missing}")

    assert outcome == (case.name, len(case.answers), "")


def test_hidden_calls_find_what_the_examples_do_not() -> None:
    (case,) = [case for case in CASES if case.name == "mask_email"]
    careless = (
        "def mask_email(address):\n    return address[0] + '***' + address[address.find('@'):]"
    )
    try:
        wrong = case.wrong(kept(careless, case.stub, None), 60)
    except IsolationMissing as missing:
        pytest.skip(f"no isolation on this machine: {missing}")

    assert "a***@b@c" in wrong[0].error


def test_the_report_says_what_is_wrong() -> None:
    outcomes = [Outcome("f", 1, ""), Outcome("g", 2, ""), Outcome("h", 0, "no answer")]

    assert report(outcomes) == "2 of 3 pass, 1 of them by their first answer\nh: no answer"
