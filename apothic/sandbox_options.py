"""The options of sandboxes: what each may be, and what is meant where nothing is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypedDict

from apothic._values import flag, is_dict, is_string, number, refuse, text, whole
from apothic.options import RULES as FUNCTION_RULES, Rule
from apothic.secret import Secret
from apothic_backends.model.errors import InvalidOption, NotBuiltYet, UsageError


class SandboxOptions(TypedDict, total=False):
    """What a sandbox may use, how long it lives, and how far it is isolated."""

    cpu: int | None
    """Cores for all that runs in it; where nothing is said it is not limited."""
    memory_mb: int
    """Memory for all that runs in it; 1024 where nothing is said."""
    pids: int
    """Processes and threads in it at once; 128 where nothing is said."""
    isolation: str
    """"process": namespaces where the kernel allows them, and limits; `box.isolation()` tells. Or
    "docker": a container of its own."""
    image: str | None
    """What a container is made from; it has to have Python 3.10 or later. The official one of this
    program's Python where nothing is said."""
    untrusted: bool
    """Refuse to make one that is less isolated than it is to be: `IsolationMissing`."""
    network: bool | None
    """Whether what runs in it reaches any network; by default if it is not `untrusted`."""
    timeout_s: float | None
    """Seconds after which it ends, whatever it does; 3600 where nothing is said, None for never."""
    idle_timeout_s: float | None
    """Seconds without a call after which it ends; None, the default, for never."""
    workdir: str
    """Where commands begin: "/workspace", or below."""
    env: Mapping[str, str] | None
    """Variables for all that runs in it."""
    secrets: Sequence[Secret] | None
    """More of them, as they are when it is made."""


DEFAULTS: SandboxOptions = {
    "cpu": None,
    "memory_mb": 1024,
    "pids": 128,
    "isolation": "process",
    "image": None,
    "untrusted": False,
    "network": None,
    "timeout_s": 3600.0,
    "idle_timeout_s": None,
    "workdir": "/workspace",
    "env": None,
    "secrets": None,
}

_NOT_BUILT = {
    "volumes": "use box.files to bring files in and out",
    "gpu": "call a function with gpu=... from your program",
}
"""What users of the field look for, and what to do for now."""


def checked(options: SandboxOptions, where: str) -> SandboxOptions:
    """The options of a workspace, checked, with defaults.

    Raises:
        InvalidOption: one is unknown, or cannot be meant.
        NotBuiltYet: this version cannot carry one out.
    """
    good: dict[str, Any] = {}
    for name, value in {**DEFAULTS, **options}.items():
        try:
            rule = RULES.get(name) or _refuse_unknown(name)
            good[name] = None if value is None and name in _MAY_BE_NONE else rule(name, value)
        except UsageError as error:
            raise type(error)(f"{where}: {error.message}", **error.data) from None
    if good["image"] is not None and good["isolation"] != "docker":
        raise InvalidOption(
            f"{where}: image is for isolation='docker'; without that it has the programs of the "
            "machine that it runs on",
            option="image",
        )
    result: SandboxOptions = good  # type: ignore[assignment]  # every key has had its rule
    return result


def _refuse_unknown(name: str) -> NoReturn:
    way_out = _NOT_BUILT.get(name)
    if way_out is not None:
        said = f"{name} is not built yet for sandboxes; for now, {way_out}"
        raise NotBuiltYet(said, options=[name])
    from difflib import get_close_matches  # only for a message, and slow  # noqa: PLC0415

    close = get_close_matches(name, RULES, n=1)
    meant = f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(RULES)}"
    raise InvalidOption(f"there is no option {name!r}{meant}", option=name)


def _isolation(name: str, value: Any) -> str:
    if value not in {"process", "docker"}:
        refuse(name, value, "'process' or 'docker'")
    return str(value)


def _above_zero(name: str, value: Any) -> float:
    if number(name, value, 0) == 0:
        refuse(name, value, "a number above 0")
    return float(value)


def _workdir(name: str, value: Any) -> str:
    if not is_string(value) or not f"{value}/".startswith("/workspace/") or ".." in value:
        refuse(name, value, "'/workspace', or a folder below it")
    return str(value)


def strings(what: str, value: Any) -> dict[str, str]:
    """Check a mapping of strings; None is an empty one."""
    if value is None:
        return {}
    if not is_dict(value) or not all(is_string(it) for pair in value.items() for it in pair):
        refuse(what, value, "a dictionary of strings")
    return dict(value)


_MAY_BE_NONE = ("cpu", "image", "network", "timeout_s", "idle_timeout_s", "env", "secrets")

RULES: dict[str, Rule] = {
    "cpu": lambda name, value: whole(name, value, 1),
    "memory_mb": lambda name, value: whole(name, value, 16),
    "pids": lambda name, value: whole(name, value, 1),
    "isolation": _isolation,
    "image": text,
    "untrusted": flag,
    "network": flag,
    "timeout_s": _above_zero,
    "idle_timeout_s": _above_zero,
    "workdir": _workdir,
    "env": strings,
    "secrets": FUNCTION_RULES["secrets"],
}
