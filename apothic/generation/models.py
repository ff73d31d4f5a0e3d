"""Asking a model over the chat-completions API, by the `openai` package or what speaks as it does.

Answers are streamed where the client streams, so that one which never ends is noticed; what cannot
stream answers as a whole, which is as good.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple, Self, cast

from apothic._drive import deadline_after, is_past
from apothic.generation.config import LivConfig
from apothic.generation.prompts import Message
from apothic.generation.replies import Reply
from apothic.generation.tools import Tools
from apothic_backends.model.errors import ApothicError, InvalidOption, UsageError
from apothic_backends.model.generation import GenerationFailed, NotGenerated
from apothic_backends.project import project, table

TIMEOUT_S = 120.0
"""What one answer may take where nothing is said."""

MOST_TOOL_ROUNDS = 10
"""How often a model may ask for tools before it answers."""

_MOST_CUTS = 2
"""How often an answer is asked for again that broke off."""

_VARIABLE = "APOTHIC_LIV_"
_FROM_PROJECT = ("model", "base_url")


class Settings(NamedTuple):
    """Whom to ask, and how: what the code says, else the environment, else the project."""

    model: str
    base_url: str | None
    api_key: str | None
    timeout_s: float
    temperature: float | None
    client: Any

    def __repr__(self) -> str:
        """Without the key, and the client, which has one."""
        return f"Settings(model={self.model!r}, base_url={self.base_url!r})"


def settings_of(config: LivConfig) -> Settings:
    """Whom a configuration asks; `model` is "" where none is named anywhere.

    Raises:
        InvalidOption: the project or the environment says what cannot be meant.
    """
    told = table(project(), "liv")
    own = cast("dict[str, object]", told) if isinstance(told, dict) else {}
    found: dict[str, str | None] = {}
    for name in (*_FROM_PROJECT, "api_key"):
        said = own.get(name) if name in _FROM_PROJECT else None
        if said is not None and not isinstance(said, str):
            raise InvalidOption(f"{name} in [tool.apothic.liv] has to be a text", option=name)
        found[name] = getattr(config, name) or os.environ.get(_VARIABLE + name.upper()) or said
    return Settings(
        model=found["model"] or "",
        base_url=found["base_url"],
        api_key=found["api_key"],
        timeout_s=config.timeout or _timeout_s(),
        temperature=config.temperature,
        client=config.client,
    )


def _timeout_s() -> float:
    said = os.environ.get(f"{_VARIABLE}TIMEOUT")
    try:
        return float(said) if said else TIMEOUT_S
    except ValueError:
        raise InvalidOption(f"{_VARIABLE}TIMEOUT={said!r} is no number of seconds") from None


class Model:
    """A model that can be asked; closed with its `with` block, unless the client is the user's.

    Raises:
        NotGenerated: no model is named.
        UsageError: there is no client for it.
    """

    def __init__(self, settings: Settings, tools: Tools) -> None:
        if not settings.model:
            raise NotGenerated(
                "no model is named that could generate it: say model= in @apothic.liv(...), "
                f"{_VARIABLE}MODEL in the environment, or model in [tool.apothic.liv] of "
                "pyproject.toml"
            )
        self._settings, self._tools = settings, tools
        self._client = settings.client or _client(settings)

    @property
    def name(self) -> str:
        """What it is called."""
        return self._settings.model

    def __enter__(self) -> Self:
        """It can be asked."""
        return self

    def __exit__(self, *error: object) -> None:
        """Let go of its connections."""
        if self._settings.client is None:
            self._client.close()

    def answer(self, messages: Sequence[Message]) -> str:
        """What it says, after as many calls of tools as it may make.

        Raises:
            GenerationFailed: it says nothing, too much, or that it does not want to.
        """
        said = [*messages]
        for _ in range(MOST_TOOL_ROUNDS):
            reply = self._whole(said)
            if not reply.calls:
                return reply.usable()
            said.append(reply.message())
            said += [self._tools.answer(call) for call in reply.calls]
        raise GenerationFailed(
            f"{self._settings.model} has asked for tools {MOST_TOOL_ROUNDS} times and answers not"
        )

    def _whole(self, messages: Sequence[Message]) -> Reply:
        """Ask, and again if the answer breaks off."""
        for _ in range(_MOST_CUTS):
            reply = self._ask(messages)
            if reply.is_whole:
                return reply
        return self._ask(messages)

    def _ask(self, messages: Sequence[Message]) -> Reply:
        """Ask once; an answer that breaks off is not whole."""
        reply = Reply(self._settings.model)
        try:
            told = self._asked(messages)
        except Exception as error:  # noqa: BLE001 - whatever a client raises
            raise self._failed(error) from None
        try:
            self._read(told, reply)
        except ApothicError:
            raise
        except Exception as error:  # noqa: BLE001 - it broke off, and is asked for again
            reply.broken = f"{type(error).__name__}: {error}"
        return reply

    def _asked(self, messages: Sequence[Message]) -> Any:
        more: dict[str, Any] = {}
        if self._settings.temperature is not None:
            more["temperature"] = self._settings.temperature
        if self._tools.schemas:
            more["tools"] = self._tools.schemas
        create = self._client.chat.completions.create
        return create(stream=True, model=self._settings.model, messages=[*messages], **more)

    def _read(self, told: Any, reply: Reply) -> None:
        if hasattr(told, "__await__"):
            told.close()
            raise UsageError("client= has to be one that blocks, such as openai.OpenAI()")
        if hasattr(told, "choices"):
            reply.take(told.choices, whole=True)
            return
        deadline = deadline_after(self._settings.timeout_s)
        for chunk in told:
            reply.take(chunk.choices)
            if is_past(deadline):
                raise GenerationFailed(
                    f"{self._settings.model} takes more than {self._settings.timeout_s:g} s"
                )

    def _failed(self, error: Exception) -> GenerationFailed:
        """The failure of a request; a key that its text may have is left out."""
        why = " ".join(f"{type(it).__name__}: {it}" for it in (error, error.__cause__) if it)
        for key in filter(None, [self._settings.api_key, os.environ.get("OPENAI_API_KEY")]):
            why = why.replace(key, "***")
        hint = f". Is the key right ({_VARIABLE}API_KEY)?" if "401" in why else ""
        where = f" at {self._settings.base_url}" if self._settings.base_url else ""
        return GenerationFailed(
            f"{self._settings.model}{where} could not be asked: {why[:1000]}{hint}"
        )


def _client(settings: Settings) -> Any:
    """A client of the `openai` package; it repeats requests that fail for a while by itself."""
    try:
        import openai  # half a second, for those who generate  # noqa: PLC0415
    except ModuleNotFoundError:
        raise UsageError(
            "asking a model needs the openai package: pip install 'apothic[liv]', or give client="
        ) from None
    key = settings.api_key or os.environ.get("OPENAI_API_KEY")
    if not key and settings.base_url is None:
        raise NotGenerated(
            f"no key for the API: set {_VARIABLE}API_KEY (or OPENAI_API_KEY), or say api_key="
        )
    return openai.OpenAI(
        api_key=key or "none", base_url=settings.base_url, timeout=settings.timeout_s
    )
