"""Functions to generate, each with examples that the model is told, and calls that it is not.

The recorded answers lie in `answers/`, one file for each round. They were written for this set in
the manner of models, with their usual mistakes; no model was asked for them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from apothic.generation.config import LivConfig
from apothic.generation.examples import Example
from apothic.generation.stubs import Stub, stub_of
from apothic.generation.trials import Failure, tried

F = TypeVar("F", bound=Callable[..., Any])
Call = tuple[tuple[Any, ...], Any]
"""Arguments and the result."""

ANSWERS = Path(__file__).parent / "answers"
MODULES = ("flows", "numbers", "structures", "texts", "times")

_HARNESS = """

def outcomes(calls):
    import asyncio

    async def collected(items):
        return [item async for item in items]

    def outcome(args):
        try:
            value = {call}
        except Exception as error:
            return "raises " + type(error).__name__
        return value if type(value).__module__ == "builtins" else repr(value)

    return [outcome(args) for args in calls]
"""

_cases: list[Case] = []


class Case(NamedTuple):
    """A function to generate, and what it has to do."""

    function: Callable[..., Any]
    examples: tuple[Call, ...]
    hidden: tuple[Call, ...]

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def stub(self) -> Stub:
        return stub_of(self.function, "evaluation", "function")

    @property
    def answers(self) -> list[str]:
        """What was answered, round by round."""
        paths = sorted(ANSWERS.glob(f"{self.name}.*.md"))
        return [path.read_text("utf-8") for path in paths]

    def config(self, **model: Any) -> LivConfig:
        """How it is generated, by that model."""
        examples = tuple((args, {}, result) for args, result in self.examples)
        return LivConfig(examples=examples, max_repair_attempts=2, **model)

    def wrong(self, code: str, timeout_s: float) -> tuple[Failure, ...]:
        """What the hidden calls find; they are made in a sandbox, as all that code does is."""
        call = _call_of(self.function)
        args, results = [args for args, _ in self.hidden], [result for _, result in self.hidden]
        example = Example((args,), {}, results, is_exact=True)
        return tried(code + _HARNESS.format(call=call), "outcomes", [example], timeout_s=timeout_s)


def _call_of(function: Callable[..., Any]) -> str:
    call = f"{function.__name__}(*args)"
    if inspect.isgeneratorfunction(function):
        return f"list({call})"
    if inspect.isasyncgenfunction(function):
        return f"asyncio.run(collected({call}))"
    if inspect.iscoroutinefunction(function):
        return f"asyncio.run({call})"
    return call


def case(*, examples: Sequence[Call], hidden: Sequence[Call]) -> Callable[[F], F]:
    """Have a stub in the set. A result may be "raises ValueError", or the `repr` of an object."""

    def add(function: F) -> F:
        _cases.append(Case(function, tuple(examples), tuple(hidden)))
        return function

    return add


def all_cases() -> list[Case]:
    """The set."""
    for module in MODULES:
        import_module(f"tests.generation.evaluation.{module}")
    return _cases
