"""What Fly means by its errors: the status says little, and the text decides. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from apothic_backends.providers.base import Blocked, Busy, NoCapacity, ProviderError
from apothic_backends.providers.http import Refusal

_NO_ROOM: Final = re.compile(
    r"insufficient (?:resources|memory|capacity|cpus?)|no capacity|could not reserve", re.IGNORECASE
)
_NO_ROOM_STATUS: Final = frozenset({"insufficient_capacity", "volume_placement_capacity"})
_ELSEWHERE: Final = re.compile(r"quota.*other regions", re.IGNORECASE | re.DOTALL)
_NOT_ALLOWED: Final = re.compile(
    r"quota|billing|payment|credit card|past due|suspended|trial", re.IGNORECASE
)
_NAME_TAKEN: Final = re.compile(
    r"already[ _](?:exists|been taken)|\bunique\b|name .*(?:taken|exists|in use)", re.IGNORECASE
)
_NO_IMAGE: Final = re.compile(r"MANIFEST_UNKNOWN|manifest unknown", re.IGNORECASE)
_LEASED: Final = re.compile(r"lease", re.IGNORECASE)
_LEASE_S: Final = 15.0

_FORBIDDEN: Final = (401, 402, 403)
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_UNMET: Final = 412
_UNPROCESSABLE: Final = 422


def text_of(error: Refusal) -> str:
    """What Fly has said, whole."""
    if isinstance(error.told, dict):
        told: dict[str, Any] = error.told  # type: ignore[reportUnknownVariableType]  # JSON
        return str(told.get("error") or told.get("message") or "")
    return str(error.data["text"])


def _status_of(error: Refusal) -> str:
    """The word that it has for some errors."""
    told: Any = error.told
    return str(told.get("status", "")) if isinstance(told, dict) else ""  # type: ignore[reportUnknownMemberType, reportUnknownArgumentType]


def meant(error: Refusal) -> ProviderError:
    """The error that says what is to be done about it; itself where that is nothing special."""
    text, status = text_of(error), error.data["status"]
    is_room_elsewhere = _ELSEWHERE.search(text) is not None
    if _status_of(error) in _NO_ROOM_STATUS or _NO_ROOM.search(text) or is_room_elsewhere:
        return NoCapacity(error.message, **error.data)
    if status in _FORBIDDEN or (status == _UNPROCESSABLE and _NOT_ALLOWED.search(text)):
        return Blocked(f"{error.message}; {_way_out(text)}", **error.data)
    if is_leased(error):
        return Busy(error.message, **{**error.data, "after_s": _LEASE_S})
    return error


def _way_out(text: str) -> str:
    if _NOT_ALLOWED.search(text):
        return "see to the organisation's quota or billing at https://fly.io/dashboard"
    return "make a token with `fly tokens create org`, and check that it is of this organisation"


def is_missing(error: Refusal) -> bool:
    """Whether there is no such thing, or an app is so new that it is not known everywhere."""
    return error.data["status"] == _NOT_FOUND


def is_name_taken(error: Refusal) -> bool:
    """Whether something has that name already, or may: a conflict that is about no lease counts."""
    if _status_of(error) == "name_taken":
        return True
    if error.data["status"] == _CONFLICT:
        return not is_leased(error)
    is_unprocessable = error.data["status"] == _UNPROCESSABLE
    return is_unprocessable and _NAME_TAKEN.search(text_of(error)) is not None


def is_leased(error: Refusal) -> bool:
    """Whether somebody else holds the machine just now."""
    return error.data["status"] == _CONFLICT and _LEASED.search(text_of(error)) is not None


def is_image_missing(error: Refusal) -> bool:
    """Whether the registry does not show the image, or not yet."""
    return _NO_IMAGE.search(text_of(error)) is not None


def is_secret_late(error: Refusal) -> bool:
    """Whether secrets that were just set are not known yet where the machine is to be."""
    is_early = error.data["status"] == _UNMET
    return is_early and "secret" in text_of(error).lower()


def has_timed_out(error: Refusal) -> bool:
    """Whether a wait is over without what was waited for."""
    return error.data["status"] in (408, 504)
