"""How a rented machine has itself destroyed from within, where its provider gave it a key for that.

| provider | what it gives                     | what ends the machine                           |
|----------|-----------------------------------|-------------------------------------------------|
| Vast     | CONTAINER_ID, CONTAINER_API_KEY   | a DELETE with that key, good for this one alone |
| Fly      | nothing                           | the end of its program                          |

It is the standard library that asks, since a machine has what an agent needs and no more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from apothic_backends.model.record import Aside, Record
from apothic_backends.remote.address import address_of

VAST_URL = "https://console.vast.ai"
_PATIENCE_S = 30.0
_MOST_PAUSE_S = 60.0
_GONE, _REFUSED = 404, (401, 403)


class Lodging(Record):
    """The machine that this process runs on, as its provider knows it."""

    url: str
    """Of the provider."""
    instance: str
    key: Aside[str]


def lodging(take: Callable[[str], str]) -> Lodging | None:
    """Whom to ask to be destroyed; None where the end of the program is enough.

    `take` gives the value of a variable of the environment, empty if there is none.
    """
    instance, key = take("CONTAINER_ID"), take("CONTAINER_API_KEY")
    if not key or not instance.isdecimal():
        return None
    return Lodging(address_of(take("APOTHIC_VAST_URL") or VAST_URL).url, instance, key)


def leave(
    own: Lodging, pause: Callable[[float], object], tell: Callable[[str], object] = bool
) -> None:
    """Ask until this machine is gone, which ends this process in the middle of it as a rule.

    It gives up only where the key does not hold; then the machine is stopped, if that is allowed.
    """
    for pause_s in _pauses():
        status = _ask(own, "DELETE", {})
        if status == _GONE:
            return
        if status in _REFUSED:
            stopped = _ask(own, "PUT", {"state": "stopped"})
            tell(f"the provider lets no machine destroy itself (HTTP {status}, then {stopped})")
            return
        tell(f"asked the provider to destroy this machine (HTTP {status or 'without an answer'})")
        pause(pause_s)


def _pauses() -> Iterator[float]:
    pause_s = 2.0
    while True:
        yield pause_s
        pause_s = min(_MOST_PAUSE_S, 2 * pause_s)


def _ask(own: Lodging, method: str, body: dict[str, str]) -> int:
    """The HTTP status of an answer; 0 if there is none."""
    request = Request(  # noqa: S310 - an `address_of`, so it is http or https
        f"{own.url}/api/v0/instances/{own.instance}/",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {own.key}", "Content-Type": "application/json"},
        method=method,
    )
    near = (ProxyHandler({}),) if address_of(own.url).is_loopback else ()
    try:
        with build_opener(*near).open(request, timeout=_PATIENCE_S) as reply:
            return int(reply.status)
    except HTTPError as error:
        error.close()
        return error.code
    except (OSError, HTTPException):
        return 0
