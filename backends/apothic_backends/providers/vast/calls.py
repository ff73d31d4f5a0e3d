"""Calls of Vast's API: how often each may be made, and what its errors mean.

An error may come with any status, 200 included (`"success": false`), and may name its kind in a
field, in its text, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from apothic_backends.providers.base import Blocked, NoCapacity, OfferGone, ProviderError
from apothic_backends.providers.http import Clock, Refusal, Speaker
from apothic_backends.providers.rates import Limit
from apothic_backends.providers.reading import an_object

T = TypeVar("T")

SERVER: Final = "https://console.vast.ai"
"""Its older names redirect here, and a redirect loses the key."""

LIMITS: Final = {
    "search": Limit(12.0, burst=5),  # at most 10 in any minute
    "create": Limit(4.5),
    "show": Limit(2.0),
    "list": Limit(1.0),
    "destroy": Limit(3.0),
    "logs": Limit(1.0),
    "user": Limit(1.0),
    "volumes": Limit(5.5),
}
"""One call in so many seconds, for each account."""

_BLOCKED: Final = re.compile(
    r"insufficient_credit|lacks credit|auth_error|invalid user key|unauthorized", re.IGNORECASE
)
_MONEY: Final = re.compile(r"insufficient_credit|lacks credit|billing", re.IGNORECASE)
_WAY_OUT: Final = (
    "; make a key at https://cloud.vast.ai (Keys) that may do misc, user_read, instance_read and "
    "instance_write, and set VAST_API_KEY"
)
_GONE: Final = re.compile(r"no_such_ask|hosts can only rent their own", re.IGNORECASE)
_NOTHING: Final = re.compile(r"no_such_instance|no_such_volume|not_found", re.IGNORECASE)
_NO_ROOM: Final = "resources_unavailable"


class Api:
    """Calls for one account. Every answer is a JSON object; what is in it is not logged."""

    def __init__(self, api_key: str, base_url: str, clock: Clock | None) -> None:
        headers = {"authorization": f"Bearer {api_key}"}
        self._speaker = Speaker("vast", base_url, headers, LIMITS, clock=clock)

    def call(
        self,
        method: str,
        path: str,
        action: str,
        read: Callable[[dict[str, Any]], T],
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        changes: bool = False,
        hidden: Iterable[str] = (),
        timeout_s: float | None = None,
    ) -> T:
        """What `read` makes of the answer.

        Raises:
            Refusal: it says that nothing was done, see `meaning`. And what `Speaker.call` raises.
        """
        return self._speaker.call(
            method,
            path,
            action=action,
            query=query,
            body=body,
            changes=changes,
            read=lambda told: read(_successful(told)),
            is_private=True,
            hidden=hidden,
            timeout_s=timeout_s,
        )

    def close(self) -> None:
        """Hang up."""
        self._speaker.close()


def _successful(told: Any) -> dict[str, Any]:
    answer = an_object(told)
    if answer.get("success") is False:
        text = " ".join(str(answer.get(key) or "") for key in ("error", "msg"))[:500]
        refusal = Refusal(f"vast refused: {text}", provider="vast", status=200, text=text)
        refusal.told = answer
        raise refusal
    return answer


def says_nothing_there(refusal: Refusal) -> bool:
    """Whether there is no such thing (any more)."""
    return refusal.data["status"] == 404 or bool(_NOTHING.search(refusal.data["text"]))  # noqa: PLR2004


def meaning(refusal: Refusal) -> ProviderError:
    """A refusal as what it means for whoever wants machines."""
    status, text = refusal.data["status"], refusal.data["text"]
    if status == 410 or _GONE.search(text):  # noqa: PLR2004 - of HTTP
        kind: type[ProviderError] = OfferGone
    elif _BLOCKED.search(text) or status in (401, 403):
        kind = Blocked
    elif _NO_ROOM in text:
        kind = NoCapacity
    else:
        return refusal
    way_out = _WAY_OUT if kind is Blocked and not _MONEY.search(text) else ""
    return kind(f"{refusal.message}{way_out}", **refusal.data)
