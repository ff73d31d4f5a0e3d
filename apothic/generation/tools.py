"""Functions of this program that a model may call while it generates; they are never shipped."""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from apothic_backends.model.errors import UsageError

TIMEOUT_S = 30.0
"""What one call may take; it is not waited for any longer."""

MOST_CHARACTERS = 20_000
"""What is told of a result; the rest is cut off."""


class Call(NamedTuple):
    """What a model asks for."""

    id: str
    name: str
    arguments: str

    def told(self) -> dict[str, Any]:
        """It, as the API has it."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function}


class Tools:
    """What a model may call.

    Raises:
        UsageError: a parameter's type cannot be told in JSON, or pydantic is missing.
    """

    def __init__(self, tools: Sequence[Callable[..., Any]]) -> None:
        self._tools = {tool.__name__: tool for tool in tools}
        self._models = {name: _model(tool) for name, tool in self._tools.items()}

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """What the API is told of them."""
        return [
            {
                "type": "function",
                "function": {
                    "name": name,
                    "description": inspect.getdoc(self._tools[name]) or "",
                    "parameters": model.model_json_schema(),
                },
            }
            for name, model in self._models.items()
        ]

    def answer(self, call: Call) -> dict[str, Any]:
        """What came of a call, for the model: also if that is nothing good."""
        content = self._called(call)[:MOST_CHARACTERS]
        return {"role": "tool", "tool_call_id": call.id, "content": content}

    def _called(self, call: Call) -> str:
        model = self._models.get(call.name)
        if model is None:
            return f"error: there is no tool {call.name!r}; there are {', '.join(self._tools)}"
        try:
            read = model.model_validate_json(call.arguments or "{}")
        except ValueError as error:
            return f"error: {error}"
        given = {name: getattr(read, name) for name in read.model_fields_set}
        done: list[str] = []

        def run() -> None:
            try:
                done.append(json.dumps(self._tools[call.name](**given), default=repr))
            except Exception as error:  # noqa: BLE001 - the model is told
                done.append(f"error: {type(error).__name__}: {error}")

        thread = threading.Thread(target=run, name=f"apothic-tool-{call.name}", daemon=True)
        thread.start()
        thread.join(TIMEOUT_S)
        return done[0] if done else f"error: it took more than {TIMEOUT_S:g} s"


def _model(tool: Callable[..., Any]) -> Any:
    """The arguments of a tool, as a model of pydantic."""
    try:
        from pydantic import ConfigDict, create_model  # noqa: PLC0415 - for those who have tools
        from pydantic.errors import PydanticUserError  # noqa: PLC0415 - as above
    except ModuleNotFoundError:
        raise UsageError("tools need pydantic: pip install 'apothic[liv]'") from None
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(tool, eval_str=True).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise UsageError(f"the tool {tool.__name__}() takes *args or **kwargs; name them all")
        hint = Any if parameter.annotation is parameter.empty else parameter.annotation
        fields[name] = (hint, ... if parameter.default is parameter.empty else parameter.default)
    try:
        return create_model(tool.__name__, __config__=ConfigDict(extra="forbid"), **fields)
    except PydanticUserError as error:
        raise UsageError(f"the tool {tool.__name__}() cannot be told in JSON: {error}") from error
