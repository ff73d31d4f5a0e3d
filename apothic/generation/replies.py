"""What a model answers, as it comes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apothic.generation.prompts import Message
from apothic.generation.tools import Call
from apothic_backends.model.generation import GenerationFailed

MOST_CHARACTERS = 1 << 18
"""An answer that is longer is none."""


class Reply:
    """An answer as it comes, in pieces or whole."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._size = 0
        self._calls: dict[int, list[str]] = {}
        self._end: str | None = None
        self.is_whole = False
        """Whether it has come to its end."""
        self.broken = ""
        """Why it has not."""

    @property
    def calls(self) -> list[Call]:
        """The tools that are asked for."""
        return [Call(*parts) for _, parts in sorted(self._calls.items())]

    def take(self, choices: Iterable[Any], *, whole: bool = False) -> None:
        """Take a piece."""
        for choice in choices:
            said = choice.message if whole else choice.delta
            self._add(self._text, getattr(said, "content", None))
            self._add(self._refusal, getattr(said, "refusal", None))
            for number, call in enumerate(getattr(said, "tool_calls", None) or ()):
                self._take_call(number if whole else call.index, call)
            self._end = getattr(choice, "finish_reason", None) or self._end
            break
        self.is_whole = whole or self._end is not None

    def _take_call(self, index: int, call: Any) -> None:
        parts = self._calls.setdefault(index, ["", "", ""])
        for place, piece in enumerate((call.id, call.function.name, call.function.arguments)):
            if piece:
                parts[place] += piece
                self._count(piece)

    def _add(self, to: list[str], piece: Any) -> None:
        if isinstance(piece, str):
            to.append(piece)
            self._count(piece)

    def _count(self, piece: str) -> None:
        self._size += len(piece)
        if self._size > MOST_CHARACTERS:
            raise GenerationFailed(
                f"{self._model} answers with more than {MOST_CHARACTERS} characters"
            )

    def message(self) -> Message:
        """It, as a part of the conversation."""
        calls = [call.told() for call in self.calls]
        return {"role": "assistant", "content": "".join(self._text), "tool_calls": calls}

    def usable(self) -> str:
        """The text.

        Raises:
            GenerationFailed: there is none.
        """
        text = "".join(self._text)
        if self._refusal:
            raise GenerationFailed(
                f"{self._model} refuses: {''.join(self._refusal)[:500]!r}", refused=True
            )
        if not self.is_whole:
            why = f" ({self.broken[:500]})" if self.broken else ""
            raise GenerationFailed(f"what {self._model} answers breaks off each time{why}")
        if self._end == "length":
            raise GenerationFailed(f"what {self._model} answers is longer than it may be there")
        if not text.strip():
            raise GenerationFailed(f"{self._model} answers with nothing")
        return text
