"""Ask, check, try, and ask again: until an answer can be frozen, or there are no rounds left."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from apothic.generation.artifacts import Artifact
from apothic.generation.checks import kept
from apothic.generation.config import LivConfig
from apothic.generation.findings import Refused
from apothic.generation.imports import DEFAULT_MODULES
from apothic.generation.models import Model, Settings
from apothic.generation.prompts import answered, asked, repaired
from apothic.generation.stubs import Stub
from apothic.generation.tools import Tools
from apothic.generation.trials import tried
from apothic_backends.model.generation import GenerationFailed

TRIAL_S = 10.0
"""What each example may take."""


def generated(
    stub: Stub, config: LivConfig, settings: Settings, context: Mapping[str, Any], identity: str
) -> Artifact:
    """A function that has passed the checks, and its examples unless `sandbox=False`.

    Raises:
        GenerationFailed: no answer has.
        NotGenerated: there is nobody to ask.
        IsolationMissing: nothing here locks up what is to be tried well enough.
    """
    with Model(settings, Tools(config.tools)) as model:
        code, answers = _answered(model, stub, config, context)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    is_tried = config.sandbox is not False
    names = stub.app_name, stub.name
    return Artifact(identity, *names, settings.model, now, answers, is_tried, code)


def _answered(
    model: Model, stub: Stub, config: LivConfig, context: Mapping[str, Any]
) -> tuple[str, int]:
    """Code that can be frozen, and how many answers it took."""
    modules = allowed(config)
    said = asked(stub, config, context, sorted(DEFAULT_MODULES if modules is None else modules))
    findings: list[str] = []
    for number in range(1, config.rounds + 2):
        answer = model.answer(said)
        code, findings = _judged(answer, stub, config)
        if code is not None:
            return code, number
        said += [answered(answer), repaired(findings)]
    wrong = "\n".join(f"  - {finding}" for finding in findings)
    more = "" if config.rounds else "; self_debug=True has it try again"
    raise GenerationFailed(
        f"{model.name} has not generated a {stub.name}() that can be used, in "
        f"{config.rounds + 1} answers{more}. The last one:\n{wrong}",
        findings=findings,
    )


def allowed(config: LivConfig) -> frozenset[str] | None:
    """The modules that a configuration allows; None for those that are harmless."""
    return None if config.allowed_modules is None else frozenset(config.allowed_modules)


def _judged(answer: str, stub: Stub, config: LivConfig) -> tuple[str | None, list[str]]:
    """What is kept of an answer, or what is wrong with it."""
    try:
        code = kept(answer, stub, allowed(config))
    except Refused as refused:
        return None, [f"line {one.line}: {one.text}" for one in refused.findings]
    if config.sandbox is False:
        return code, []
    failures = tried(code, stub.name, config.examples, timeout_s=TRIAL_S)
    return (None if failures else code), [f"{one.example}: {one.error}" for one in failures]
