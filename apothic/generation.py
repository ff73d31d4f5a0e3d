"""liv: functions whose bodies are generated from their stubs before they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar, Unpack

from apothic._values import Value, refuse
from apothic.policies import mark
from apothic_backends.model.errors import InvalidOption

F = TypeVar("F", bound=Callable[..., Any])
Examples = Sequence[tuple[tuple[Any, ...], dict[str, Any]]]
CACHES = ("memory", "account", "app", "custom")


class LivConfig(Value):
    """How a function's body is generated.

    Raises:
        InvalidOption: an unknown `mode` or `cache`, or `cache="custom"` without a namespace.
    """

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
        super().__init__(**given | {"examples": tuple(examples), "tools": tuple(tools)})

    def __repr__(self) -> str:
        """What was chosen, without the key."""
        shown = {name: value for name, value in self.__dict__.items() if value}
        shown.pop("api_key", None)
        return f"LivConfig({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


HIDDEN = {"self", "__class__"}


class LivOptions(TypedDict, total=False):
    """The fields of `LivConfig`, as keywords of `@liv`."""

    client: Any | None
    model: str | None
    base_url: str | None
    api_key: str | None
    timeout: float | None
    temperature: float | None
    self_debug: bool | int | None
    max_repair_attempts: int | None
    sandbox: bool | None
    allowed_modules: tuple[str, ...] | None
    tools: tuple[Callable[..., Any], ...]
    examples: Examples
    mode: str
    cache: str
    cache_namespace: str | None
    prompt_salt: str | None
    force_regenerate: bool
    target_context: Mapping[str, Any] | None


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
