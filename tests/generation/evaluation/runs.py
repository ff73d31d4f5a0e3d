"""Cases are generated, by a model or from what is recorded, and their hidden calls are made."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from apothic.generation.models import settings_of
from apothic.generation.repair import generated
from apothic_backends.model.generation import GenerationFailed
from tests.fakes.chat.fake import chatting, says
from tests.generation.evaluation.cases import Case

Asked = Callable[[Case], dict[str, Any]]
"""Of whom a case is asked for: the fields of its configuration that say so."""


class Outcome(NamedTuple):
    """What came of a case."""

    name: str
    rounds: int
    """Answers that it took; 0 where none could be used."""
    wrong: str
    """What is wrong with what was generated; "" if nothing is."""


def outcome_of(case: Case, model: dict[str, Any], timeout_s: float = 60) -> Outcome:
    """Generate a case by that model, and make its hidden calls.

    Raises:
        NotGenerated: there is no model to be asked.
        IsolationMissing: this machine has no place to try what is generated.
    """
    config = case.config(**model)
    try:
        artifact = generated(case.stub, config, settings_of(config), {}, "")
    except GenerationFailed as failed:
        return Outcome(case.name, 0, failed.message)
    failures = case.wrong(artifact.code, timeout_s)
    return Outcome(case.name, artifact.answers, "\n".join(failure.error for failure in failures))


@contextmanager
def replayed() -> Generator[Asked]:
    """A model that answers as is recorded, by HTTP."""
    with chatting() as chat:

        def recorded(case: Case) -> dict[str, Any]:
            chat.add(*map(says, case.answers))
            return {"model": "recorded", "base_url": chat.base_url, "api_key": "none"}

        yield recorded


def report(outcomes: Sequence[Outcome]) -> str:
    """How many pass, how many of those at once, and what is wrong with the others."""
    passed = [outcome for outcome in outcomes if not outcome.wrong]
    first = sum(outcome.rounds == 1 for outcome in passed)
    lines = [f"{len(passed)} of {len(outcomes)} pass, {first} of them by their first answer"]
    lines += [f"{outcome.name}: {outcome.wrong}" for outcome in outcomes if outcome.wrong]
    return "\n".join(lines)
