"""What each field of a `LivConfig` may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from apothic._values import flag, is_list, is_tuple, number, refuse, text, whole
from apothic.generation.examples import examples_of, is_plain


def checked(given: dict[str, Any]) -> dict[str, Any]:
    """The fields as they are kept.

    Raises:
        InvalidOption: one cannot be meant.
    """
    good = dict(given)
    for name, rule in _RULES.items():
        if good[name] is not None:
            good[name] = rule(name, good[name])
    return good


def _modules(name: str, value: Any) -> tuple[str, ...]:
    if not is_tuple(value) and not is_list(value):
        refuse(name, value, 'a list of modules such as ("json", "numpy")')
    for module in value:
        if not all(part.isidentifier() for part in text(name, module).split(".")):
            refuse(name, module, "the name of a module")
    return tuple(value)


def _tools(name: str, value: Any) -> tuple[Callable[..., Any], ...]:
    if not is_tuple(value) and not is_list(value):
        refuse(name, value, "a list of functions")
    for tool in value:
        if not callable(tool) or not hasattr(tool, "__name__"):
            refuse(name, tool, "a function")
    names = [tool.__name__ for tool in value]
    if len({*names}) < len(names):
        refuse(name, names, "functions of different names")
    return tuple(value)


def _client(name: str, value: Any) -> Any:
    completions = getattr(getattr(value, "chat", None), "completions", None)
    if not callable(getattr(completions, "create", None)):
        refuse(name, value, "a client that has chat.completions.create, such as openai.OpenAI()")
    return value


def _timeout(name: str, value: Any) -> float:
    if number(name, value, 0) == 0:
        refuse(name, value, "a number of seconds above 0")
    return float(value)


def _self_debug(name: str, value: Any) -> bool | int:
    return value if isinstance(value, bool) else whole(name, value, 0)


def _url(name: str, value: Any) -> str:
    if not text(name, value).startswith(("http://", "https://")):
        refuse(name, value, "an address that begins with https://")
    return str(value)


def _context(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        refuse(name, value, "a dictionary of plain values")
    found: dict[str, Any] = {**value}
    if not is_plain(found):
        refuse(name, found, "a dictionary of plain values")
    return found


_RULES: dict[str, Callable[[str, Any], Any]] = {
    "client": _client,
    "model": text,
    "base_url": _url,
    "api_key": text,
    "timeout": _timeout,
    "temperature": lambda name, value: number(name, value, 0, 2),
    "self_debug": _self_debug,
    "max_repair_attempts": lambda name, value: whole(name, value, 0),
    "sandbox": flag,
    "allowed_modules": _modules,
    "tools": _tools,
    "examples": examples_of,
    "cache_namespace": text,
    "prompt_salt": lambda name, value: value if isinstance(value, str) else text(name, value),
    "force_regenerate": flag,
    "target_context": _context,
}
"""What each field may be, where it is given."""
