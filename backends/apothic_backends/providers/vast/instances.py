"""How a machine of Vast's is, from what is told of it: pure.

    actual_status                                    what it is here
    ------------------------------------------------------------------------------------------
    null, created, loading (an image is being got)   booting; failed if `status_msg` is bad
    running                                          running; booting is what is on it, maybe
    exited, offline, unknown                         failed: its program has ended, its host is gone
    stopped, and a contract that was stopped         stopped; it goes on costing its disk

A `status_msg` may be of an earlier time: it counts only as long as nothing runs.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeGuard

from apothic_backends.providers.base import BOOTING, FAILED, RUNNING, STOPPED, Seen

UNREACHED: Final = frozenset({"offline", "unknown"})
"""What a host is called that was not heard of; it may be back at once."""

_BAD: Final = re.compile(
    r"error|failed|exception|OCI runtime create failed|permission denied|manifest unknown|"
    r"pull access denied|unauthorized|not found|no space left|toomanyrequests|no such image",
    re.IGNORECASE,
)
_EARLY: Final = frozenset({"", "created", "loading"})
_MOST_DETAIL: Final = 300
_MOST: Final = 1e15


def seen_of(row: dict[str, Any]) -> Seen | None:
    """A machine as a row of a list tells of it; None if the row makes no sense."""
    number, started = row.get("id"), row.get("start_date")
    if not isinstance(number, int) or isinstance(number, bool):
        return None
    state, detail = _state_of(row)
    host = row.get("machine_id")
    return Seen(
        provider_id=str(number),
        tag=text_of(row, "label"),
        state=state,
        detail=detail[:_MOST_DETAIL],
        usd_per_hour=usd_per_hour_of(row) or 0.0,
        host="" if host is None else str(host),
        created_at=float(started) if is_number(started) else None,
        preempted=state == STOPPED and row.get("is_bid") is True,
    )


def usd_per_hour_of(row: dict[str, Any]) -> float | None:
    """What it costs while it runs, its disk included; None if that is not told."""
    total, inside = row.get("dph_total"), row.get("instance")
    if not is_number(total) and is_object(inside):
        total = inside.get("totalHour")
    return float(total) if is_number(total) else None


def text_of(row: dict[str, Any], key: str) -> str:
    """A text of a row; they come with blanks and ends of lines, or not at all."""
    value = row.get(key)
    return value.strip() if isinstance(value, str) else ""


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether it can be a row."""
    return isinstance(value, dict)


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number that can be reckoned with: JSON has ones that no float can be."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -_MOST < value < _MOST


def _state_of(row: dict[str, Any]) -> tuple[str, str]:
    """A state, and why it is not a better one."""
    actual, message = text_of(row, "actual_status"), text_of(row, "status_msg")
    if _is_stopped(row, actual):
        return STOPPED, _why_stopped(row)
    if actual in _EARLY:
        return (FAILED, message) if _BAD.search(message) else (BOOTING, message)
    if actual == "exited":
        return FAILED, f"its program has ended: {message}"
    if actual in UNREACHED:
        return FAILED, f"its host is {actual}"
    return (RUNNING, "") if actual == "running" else (BOOTING, actual)


def _is_stopped(row: dict[str, Any], actual: str) -> bool:
    return "stopped" in (actual, text_of(row, "cur_state"), text_of(row, "intended_status"))


def _why_stopped(row: dict[str, Any]) -> str:
    if text_of(row, "intended_status") == "stopped":
        return "it was told to stop, or may not go on: the account has no credit, or its time is up"
    if row.get("is_bid") is True:
        return "somebody pays more"
    return "Vast has stopped it: the account has no credit, or its contract has ended"
