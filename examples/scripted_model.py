"""A model that says what it was told to: it stands for a real one where there is no key for any."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any


class Scripted:
    """As much of `openai.OpenAI()` as is asked of a client."""

    def __init__(self, *answers: str) -> None:
        self._answers = iter(answers)
        self.chat = SimpleNamespace(completions=self)

    def create(self, **asked: Any) -> Any:
        """The next answer, whatever is asked."""
        message = SimpleNamespace(content=next(self._answers), refusal=None, tool_calls=None)
        return SimpleNamespace(choices=[SimpleNamespace(message=message, finish_reason="stop")])


def model_or(*answers: str) -> dict[str, Any]:
    """Whom to ask: the model that `APOTHIC_LIV_MODEL` names, else one with these answers."""
    if os.environ.get("APOTHIC_LIV_MODEL"):
        return {}
    return {"client": Scripted(*answers), "model": "scripted"}
