"""What a machine has printed: Vast has its host put that somewhere, where it is fetched from."""

from __future__ import annotations

from contextlib import closing, suppress
from typing import Any, Final
from urllib.parse import urlsplit

from apothic_backends.providers.base import ProviderError
from apothic_backends.providers.http import Clock, Lost, Speaker, Unsent
from apothic_backends.providers.reading import text
from apothic_backends.providers.vast.calls import Api

_LINES: Final = 200
_MOST_BYTES: Final = 64 * 1024
_TRIES: Final = 12
_PAUSE_S: Final = 1.5


class Logs:
    """Fetches logs; the key goes to Vast alone, and not to where they are put."""

    def __init__(self, api: Api, base_url: str, clock: Clock) -> None:
        self._api, self._clock = api, clock
        self._base_url = base_url

    def of(self, machine: int) -> str:
        """What its program has printed, then what its host has to say of it; "" if nothing."""
        parts = [self._fetch(machine, {}), self._fetch(machine, {"daemon_logs": "true"})]
        return "\n".join(part for part in parts if part)

    def _fetch(self, machine: int, more: dict[str, Any]) -> str:
        with suppress(ProviderError):
            url = self._api.call(
                "PUT",
                f"/api/v0/instances/request_logs/{machine}/",
                "logs",
                lambda told: text(told, "result_url"),
                body={"tail": str(_LINES), **more},
            )
            return self._download(url) if self._is_safe(url) else ""
        return ""

    def _is_safe(self, url: str) -> bool:
        """Only over TLS; from a server on this machine as it is."""
        parts = urlsplit(url)
        return parts.scheme == "https" or parts[:2] == urlsplit(self._base_url)[:2]

    def _download(self, url: str) -> str:
        """It is there some seconds after it was asked for."""
        fetcher = Speaker("vast", self._base_url, {}, timeout_s=10, clock=self._clock)
        with closing(fetcher):
            for _ in range(_TRIES):
                self._clock.sleep(_PAUSE_S)
                with suppress(Unsent, Lost):
                    answer = fetcher.ask("GET", url)
                    if answer.status == 200 and answer.body:  # noqa: PLR2004 - of HTTP
                        return answer.body[-_MOST_BYTES:].decode("utf-8", "replace").strip()
        return ""
