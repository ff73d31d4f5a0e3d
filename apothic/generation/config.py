"""What users say of a function whose body is generated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar, Unpack

from apothic._values import Value, refuse
from apothic.generation.examples import Example
from apothic.policies import mark
from apothic_backends.model.errors import InvalidOption

F = TypeVar("F", bound=Callable[..., Any])
Examples = Sequence[tuple[Any, ...]]
CACHES = ("memory", "account", "app", "custom")
ROUNDS = 3
"""How often the model may repair its answer where `self_debug=True`."""


class LivConfig(Value):
    """How a function's body is generated.

    Raises:
        InvalidOption: a field cannot be meant.
    """

    client: Any | None
    model: str | None
    base_url: str | None
    api_key: str | None
    timeout: float | None
    temperature: float | None
    sandbox: bool | None
    allowed_modules: tuple[str, ...] | None
    tools: tuple[Callable[..., Any], ...]
    examples: tuple[Example, ...]
    cache: str
    cache_namespace: str | None
    prompt_salt: str | None
    force_regenerate: bool
    target_context: Mapping[str, Any] | None
    self_debug: bool | int | None
    max_repair_attempts: int | None

    def __init__(  # noqa: PLR0917 - the spec's tuple form fills the fields in this order
        self,
        client: Any | None = None,
        model: str | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float | None = None,
        temperature: float | None = None,
        self_debug: bool | int | None = None,  # noqa: FBT001 - as above
        max_repair_attempts: int | None = None,
        sandbox: bool | None = None,  # noqa: FBT001 - as above
        allowed_modules: tuple[str, ...] | None = None,
        tools: tuple[Callable[..., Any], ...] = (),
        examples: Examples = (),
        mode: str = "freeze",
        cache: str = "account",
        cache_namespace: str | None = None,
        prompt_salt: str | None = None,
        force_regenerate: bool = False,  # noqa: FBT001, FBT002 - as above
        target_context: Mapping[str, Any] | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in HIDDEN}
        if mode != "freeze":
            refuse("mode", mode, "'freeze'")
        if cache not in CACHES:
            refuse("cache", cache, f"one of {', '.join(CACHES)}")
        if cache == "custom" and not cache_namespace:
            raise InvalidOption("cache='custom' needs a cache_namespace to keep things under")
        from apothic.generation.rules import checked  # for few programs  # noqa: PLC0415

        super().__init__(**checked(given))

    @property
    def rounds(self) -> int:
        """How often the model may repair what it has answered."""
        if self.max_repair_attempts is not None:
            return self.max_repair_attempts
        return ROUNDS if self.self_debug is True else int(self.self_debug or 0)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel without key, client and tools: a worker generates nothing."""
        state = self.__dict__ | {"client": None, "api_key": None, "tools": ()}
        return (_remade, (state,))

    def __repr__(self) -> str:
        """What was chosen, without the key."""
        shown = {name: value for name, value in self.__dict__.items() if value}
        shown.pop("api_key", None)
        return f"LivConfig({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def _remade(state: dict[str, Any]) -> LivConfig:
    config = LivConfig.__new__(LivConfig)
    config.__dict__.update(state)
    return config


HIDDEN = {"self", "__class__"}


class LivOptions(TypedDict, total=False):
    """The fields of `LivConfig`, as keywords of `@liv`."""

    client: Any | None
    """What is asked, in place of a client of the `openai` package: it has to have
    `chat.completions.create`."""
    model: str | None
    """The model; `APOTHIC_LIV_MODEL`, or `model` in `[tool.apothic.liv]`, where nothing is said."""
    base_url: str | None
    """The API's address; `APOTHIC_LIV_BASE_URL`, else that of OpenAI."""
    api_key: str | None
    """Its key; `APOTHIC_LIV_API_KEY`, else `OPENAI_API_KEY`. It is never kept or shown."""
    timeout: float | None
    """Seconds that one answer may take; 120 where nothing is said."""
    temperature: float | None
    """From 0 to 2; the model's own where nothing is said."""
    self_debug: bool | int | None
    """Have the model repair what it has answered: that often, or three times if True."""
    max_repair_attempts: int | None
    """The same as a number, which comes first."""
    sandbox: bool | None
    """False leaves the trial runs of the examples out; what is generated is only read then."""
    allowed_modules: tuple[str, ...] | None
    """What it may import; harmless modules of the standard library where nothing is said."""
    tools: tuple[Callable[..., Any], ...]
    """Functions of this program that the model may call while it generates."""
    examples: Examples
    """Calls to be tried: `((args), {kwargs})`, and the result to be expected as a third, if any."""
    mode: str
    """"freeze": generated before it runs, and never while it does."""
    cache: str
    """Who shares what was generated: "memory", this process; "account", all apps of this user;
    "app", this app alone; "custom", whoever names the same `cache_namespace`."""
    cache_namespace: str | None
    prompt_salt: str | None
    """Any text; another one has it generated anew."""
    force_regenerate: bool
    """Have it generated anew by each program that runs it."""
    target_context: Mapping[str, Any] | None
    """What else the model should know of where it runs; plain values."""


def liv(**options: Unpack[LivOptions]) -> Callable[[F], F]:
    """Have the function's body generated from its signature and docstring.

    Raises:
        InvalidOption: as `LivConfig` does, or where `liv=` is given as well.
    """
    config = LivConfig(**options)
    return lambda function: mark(function, "liv", config)


def as_config(value: object) -> LivConfig:
    """Read the three forms of `liv=`: a config, a dictionary of its fields, or a tuple of them."""
    try:
        if isinstance(value, dict):
            return LivConfig(**value)  # pyright: ignore[reportUnknownArgumentType]
        if isinstance(value, tuple):
            return LivConfig(*value)  # pyright: ignore[reportUnknownArgumentType]
    except TypeError as error:
        raise InvalidOption(f"liv={value!r} does not fit LivConfig: {error}") from error
    if not isinstance(value, LivConfig):
        refuse("liv", value, "a LivConfig, a dictionary of its fields, or a tuple of them")
    return value
