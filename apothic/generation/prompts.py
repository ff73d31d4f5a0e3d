"""What a model is told: the stub, what it may use, and what was wrong with its last answer.

Nothing in here is a secret: of secrets only names are ever told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from apothic.generation.config import LivConfig
from apothic.generation.stubs import Stub

Message = dict[str, Any]

_SYSTEM = """\
You write the body of one Python function. Answer with one Python code block and nothing else: the \
imports that it needs, and the function under the same name and parameters.

- Its parameters have the given names, and keep the given defaults.
- It does exactly what its docstring says, for every input that its signature allows.
- Everything that it needs is inside of it: helper functions go inside the function. Nothing else \
stands at the top level but imports.
- It may import: {modules}.
- It uses no eval, exec, compile, globals or the like, no `global`, no getattr with a computed \
name and no dunder attributes but those of operators.
- It reads no files, variables or networks that its docstring does not name.
- It is {kind}."""

_KINDS = {
    "function": "called from other machines: its result is plain data that can be pickled",
    "endpoint": "an HTTP endpoint: it gets the request's parameters, and what it returns becomes "
    "JSON",
}


def asked(
    stub: Stub, config: LivConfig, context: Mapping[str, Any], modules: Sequence[str]
) -> list[Message]:
    """The question for a function."""
    system = _SYSTEM.format(modules=", ".join(modules) or "nothing", kind=_KINDS[stub.kind])
    parts = [f"```python\n{chr(10).join(stub.imports)}\n\n{stub.source}\n```"]
    if config.examples:
        parts += ["It is tried with these calls:", *map(_example(stub), config.examples)]
    parts.append(f"It runs where this was declared: {json.dumps(context, sort_keys=True)}")
    if config.target_context:
        parts.append(f"What else there is to know: {dict(config.target_context)!r}")
    if config.prompt_salt:
        parts.append(f"({config.prompt_salt})")
    return [_said("system", system), _said("user", "\n\n".join(parts))]


def answered(answer: str) -> Message:
    """What the model has answered."""
    return _said("assistant", answer)


def repaired(findings: Sequence[str]) -> Message:
    """The question for another answer."""
    wrong = "\n".join(f"- {finding}" for finding in findings)
    return _said("user", f"That cannot be used:\n{wrong}\nAnswer with the whole function again.")


def _said(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _example(stub: Stub) -> Any:
    def told(example: Any) -> str:
        call = example.call(stub.name)
        return f"- `{call}` returns `{example.expected!r}`" if example.is_exact else f"- `{call}`"

    return told
