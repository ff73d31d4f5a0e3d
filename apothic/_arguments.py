"""The arguments of constructors: what tells one instance from another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from apothic_backends.model.errors import UsageError
from apothic_backends.model.instances import ClassSpec

MOST_SHOWN = 200
"""Characters of what stands for arguments that are still readable; beyond it is a digest."""

_PLAIN = (str, int, float, bool, bytes, type(None))


def bound(
    name: str, cls: ClassSpec, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The arguments of a constructor by the names of its parameters.

    Raises:
        UsageError: there are too many, one is missing or given twice, or has no such parameter.
    """
    names = [parameter for parameter, _ in cls.parameters]
    if len(args) > len(names):
        raise UsageError(f"{name}() takes {len(names)} arguments, and gets {len(args)}")
    given = dict(zip(names, args, strict=False))
    for parameter, value in kwargs.items():
        if parameter in given:
            raise UsageError(f"{name}() gets {parameter} twice")
        if parameter not in names:
            raise UsageError(
                f"{name}() has no parameter {parameter!r}; there are: {', '.join(names) or 'none'}"
            )
        given[parameter] = value
    missing = [one for one, default in cls.parameters if default is None and one not in given]
    if missing:
        raise UsageError(f"{name}() needs {', '.join(missing)}")
    return given


def key_of(name: str, cls: ClassSpec, given: Mapping[str, Any]) -> str:
    """What stands for the arguments of a constructor: the same for the same, in any process.

    Raises:
        UsageError: one is of a type for which there is nothing that could.
    """
    told = {
        parameter: default if parameter not in given else told_of(name, parameter, given[parameter])
        for parameter, default in cls.parameters
    }
    key = f"({', '.join(f'{parameter}={text}' for parameter, text in told.items())})"
    if len(key) <= MOST_SHOWN:
        return key
    from hashlib import sha256  # seldom  # noqa: PLC0415

    return f"sha256:{sha256(key.encode()).hexdigest()}"


def told_of(name: str, parameter: str, value: Any) -> str:
    """What stands for one argument.

    Raises:
        UsageError: its type has nothing that could.
    """
    if type(value) in _PLAIN:
        return repr(value)
    kind = cast("type[Any]", type(value))
    where = f"{kind.__module__}.{kind.__qualname__}"
    import enum  # both are loaded where there is such a value  # noqa: PLC0415
    from dataclasses import fields, is_dataclass  # noqa: PLC0415

    if isinstance(value, enum.Enum):
        return f"{where}.{value.name}"
    if is_dataclass(value) and not isinstance(value, type):
        held = (
            f"{it.name}={told_of(name, f'{parameter}.{it.name}', getattr(value, it.name))}"
            for it in fields(value)
        )
        return f"{where}({', '.join(held)})"
    raise UsageError(
        f"{parameter} of {name}() is a {kind.__name__}: constructors take str, int, float, bool, "
        "bytes, None, enums and dataclasses of these, so that the same arguments are the same "
        "instance everywhere. Send anything else to a method",
        parameter=parameter,
    )
