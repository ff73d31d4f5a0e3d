"""What a generated function is known by: all that could have made it another one."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from apothic.generation.config import LivConfig
from apothic.generation.stubs import Stub
from apothic.secret import Secret
from apothic_backends.codec import to_json
from apothic_backends.model.functions import Condition, FunctionSpec

VERSION = 1
"""Of what is asked and checked; what another version generated is generated anew."""

_NOT_DECLARED = (
    "app_name",
    "name",
    "preload",
    "python",
    "source",
    "path",
    "secrets",
    "image",
    "placement",
)
"""Fields of a spec that say nothing of where the code is to run, or are told in another way."""


class Handle(Protocol):
    """A declared function."""

    options: Any

    def spec(self) -> FunctionSpec:
        """What a backend must know of it."""
        ...


def context_of(handle: Handle) -> dict[str, Any]:
    """Where a function is to run, as it was declared; of secrets only names.

    Filters are the compiled ones (`placement`), however they were written.
    """
    told: dict[str, Any] = to_json(handle.spec(), [])
    context = {name: value for name, value in told.items() if name not in _NOT_DECLARED}
    del context["$record"]
    conditions = sorted(_compiled(one) for one in handle.spec().placement)
    if conditions:
        context["placement"] = conditions
    image, schedule = handle.options.get("image"), handle.options.get("schedule")
    secrets = [_names(secret) for secret in handle.options.get("secrets") or ()]
    if image is not None:
        steps = [[verb, *words] for verb, words in image.steps]
        context["image"] = {"base": image.base, "start": image.start, "steps": steps}
    if schedule is not None:
        context["schedule"] = repr(schedule)
    if secrets:
        context["secrets"] = secrets
    return context


def _compiled(condition: Condition) -> str:
    """A condition, however it was written."""
    value = condition.value
    plain = float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return f"{condition.field} {condition.operator} {plain!r}"


def _names(secret: Secret) -> list[str]:
    """What a secret is called; one of this program by its keys, since its values name it."""
    keys: tuple[str, ...] | None = getattr(secret, "keys", None)
    return [secret.name, *secret.required_keys] if keys is None else ["", *keys]


def identity_of(stub: Stub, config: LivConfig, context: Mapping[str, Any], model: str) -> str:
    """The digest of all that goes into a function that this model is to generate.

    The API's address and key, the client, and where it is cached are no part of it: the same model
    may be asked in many ways.
    """
    told = {
        "version": VERSION,
        "kind": stub.kind,
        "stub": stub.source,
        "imports": stub.imports,
        "examples": [repr(tuple(example)) for example in config.examples],
        "model": model,
        "temperature": config.temperature,
        "rounds": config.rounds,
        "sandbox": config.sandbox is not False,
        "allowed_modules": config.allowed_modules and sorted(config.allowed_modules),
        "tools": [_told(tool) for tool in config.tools],
        "prompt_salt": config.prompt_salt,
        "target_context": repr(sorted((config.target_context or {}).items(), key=repr)),
        "context": context,
    }
    text = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _told(tool: Callable[..., Any]) -> str:
    """A tool as it is written, or else what it is called."""
    try:
        return inspect.getsource(tool)
    except (OSError, TypeError):
        return f"{tool.__module__}.{tool.__qualname__}{inspect.signature(tool)}"
