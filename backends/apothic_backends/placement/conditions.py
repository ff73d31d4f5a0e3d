"""Comparisons with what a machine offers: whether it meets them, and whether anything could."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final

from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.functions import Condition, Scalar
from apothic_backends.model.gpus import is_model
from apothic_backends.placement.fields import FIELDS, LISTED, MODEL, VERSION, Field, parts_of

Values = Mapping[str, Any]
"""What is known of a machine, by field; what is None or left out is not known."""

Test = Callable[[Any], bool]
"""Whether a value that is known will do."""

_MIRRORED: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": eq,
    "neq": ne,
    "gt": lt,
    "gte": le,
    "lt": gt,
    "lte": ge,
}
"""How the value that is wanted compares with the one that is offered."""
_WORDS: Final = {
    "eq": "",
    "neq": "anything but ",
    "gt": "more than ",
    "gte": "at least ",
    "lt": "less than ",
    "lte": "at most ",
    "in": "one of ",
    "notin": "none of ",
}


def test_of(condition: Condition) -> Test:
    """What decides whether a value meets a condition, for values that are of the field's type."""
    field, wanted = FIELDS[condition.field], condition.value
    if field.kind == MODEL:
        return _model_test(condition)
    if condition.operator in LISTED:
        is_in, known = condition.operator == "in", _compared(field, wanted)
        prepare = parts_of if field.kind == VERSION else _same
        return lambda has: (prepare(has) in known) is is_in
    its = partial(_MIRRORED[condition.operator], _compared(field, wanted))  # calls nothing of ours
    return (lambda has: its(parts_of(has))) if field.kind == VERSION else its


def _same(value: Any) -> Any:
    return value


def _compared(field: Field, value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_compared(field, one) for one in members(value))
    return parts_of(value) if field.kind == VERSION else value


def _model_test(condition: Condition) -> Test:
    names = members(condition.value)
    is_wanted = condition.operator in ("eq", "in")
    return lambda has: any(is_model(str(has), str(name)) for name in names) is is_wanted


def members(value: Any) -> tuple[Scalar, ...]:
    """The values of a condition: itself, where it is one."""
    return value if isinstance(value, tuple) else (value,)  # type: ignore[reportUnknownVariableType]


def meets(condition: Condition, values: Values) -> bool | None:
    """Whether a machine meets a condition; None if it does not tell."""
    has = values.get(condition.field)
    if has is None:
        return None
    if condition.field == "gpu_name":
        return _is_of(condition, str(has), int(values.get("gpu_ram") or 0))
    return test_of(condition)(has)


def _is_of(condition: Condition, name: str, memory_mb: int) -> bool:
    found = any(is_model(name, str(it), memory_mb) for it in members(condition.value))
    return found is (condition.operator in ("eq", "in"))


def reason(condition: Condition, values: Values) -> str:
    """Why a machine does not meet a condition, for people."""
    has = values.get(condition.field)
    is_what = "is not known" if has is None else f"is {in_units(condition.field, has)}"
    return f"{condition.field} {is_what}, and {condition.said} wants {wanted(condition)}"


def wanted(condition: Condition) -> str:
    """What a condition asks for, for people."""
    told = " or ".join(in_units(condition.field, one) for one in members(condition.value))
    is_one = condition.operator == "in" and len(members(condition.value)) == 1
    return told if is_one else f"{_WORDS[condition.operator]}{told}"


def in_units(field: str, value: Any) -> str:
    """A value of a field, for people."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    shown = f"{value:.10g}" if is_number else str(value)
    unit = FIELDS[field].unit
    return f"{shown} {unit}" if unit and is_number else shown


# --- what can never be ---------------------------------------------------------------------------


def check(conditions: Iterable[Condition], where: str = "") -> None:
    """See to it that a machine could meet all of them.

    Raises:
        InvalidOption: two of them exclude each other; the message names both.
    """
    by_field: dict[str, list[Condition]] = {}
    for condition in conditions:
        by_field.setdefault(condition.field, []).append(condition)
    for name, those in by_field.items():
        field = FIELDS[name]
        for place, one in enumerate(those):
            for other in those[:place]:
                if _excludes(field, one, other):
                    raise _contradiction(where, [other, one])
        _check_lists(field, those, where)


def _contradiction(where: str, those: Sequence[Condition]) -> InvalidOption:
    said = list(dict.fromkeys(f"{it.said} wants {it.field} {wanted(it)}" for it in those))
    told = " and ".join(said) if len(said) > 1 else f"{said[0]}, which nothing is"
    return InvalidOption(
        f"{where}{told}: no machine could ever have both; change one of them",
        option=those[-1].said,
        field=those[0].field,
    )


def _excludes(field: Field, one: Condition, other: Condition) -> bool:
    """Whether no value meets both."""
    if field.kind == MODEL:
        return _excludes_models(one, other)
    for those, its in ((one, other), (other, one)):
        if those.operator in ("eq", "in"):
            test = test_of(its)
            return not any(test(value) for value in members(those.value))
    return _is_gap(field, one, other)


def _is_gap(field: Field, one: Condition, other: Condition) -> bool:
    """Whether one ends below where the other begins."""
    up, down = ("gt", "gte"), ("lt", "lte")
    if one.operator in down and other.operator in up:
        one, other = other, one
    if one.operator not in up or other.operator not in down:
        return False
    low, high = _compared(field, one.value), _compared(field, other.value)
    if low == high:
        return one.operator == "gt" or other.operator == "lt"
    return low > high


def _excludes_models(one: Condition, other: Condition) -> bool:
    """Names of models may be wider or narrower than each other: an "A100 SXM4" is an "A100"."""
    wants = [it for it in (one, other) if it.operator in ("eq", "in")]
    if len(wants) == 2:  # noqa: PLR2004 - both
        pairs = ((a, b) for a in members(one.value) for b in members(other.value))
        return not any(is_model(str(a), str(b)) or is_model(str(b), str(a)) for a, b in pairs)
    if not wants:
        return False
    names = members((other if wants[0] is one else one).value)
    return all(
        any(is_model(str(it), str(name)) for name in names) for it in members(wants[0].value)
    )


def _check_lists(field: Field, those: Sequence[Condition], where: str) -> None:
    """The same of values that are listed, which several together may exclude."""
    listed = next((it for it in those if it.operator in ("eq", "in")), None)
    values: Iterable[Any] = members(listed.value) if listed is not None else ()
    if field.name == "num_gpus":
        values = range(_MOST_GPUS)
    elif listed is None or field.kind == MODEL:
        return
    if not any(_fits_all(those, value) for value in values):
        raise _contradiction(where, those)


_MOST_GPUS: Final = 129


def _fits_all(those: Sequence[Condition], value: Any) -> bool:
    return all(test_of(it)(value) for it in those)


def gpus_of(conditions: Sequence[Condition]) -> int:
    """How many GPUs conditions ask for: the fewest that will do."""
    counts = [it for it in conditions if it.field == "num_gpus"]
    if not any(FIELDS[it.field].of_gpu for it in conditions):
        return 0
    least = 0 if len(counts) == len([it for it in conditions if FIELDS[it.field].of_gpu]) else 1
    return next((it for it in range(least, _MOST_GPUS) if _fits_all(counts, it)), least)
