"""HTTP with a provider of machines: JSON in, JSON out, and what goes wrong as a typed error.

What only reads is asked again, after a growing pause, when nobody answers or the provider is in
trouble. What changes something is sent once: if it may have had its effect, that is `Unclear`, and
whoever asked has to look. Only where it surely had none (no connection, or "too many requests") is
it sent again. Redirects are not followed: the token would go along.

Needs `pip install 'apothic[cloud]'`; that is loaded with the first `Speaker`.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, Final, NamedTuple, NoReturn, TypeVar
from urllib.parse import urlsplit

from apothic_backends.model.errors import UsageError
from apothic_backends.model.masks import Masks
from apothic_backends.providers.answers import (
    Answer,
    by_id,
    date_of,
    is_success,
    parsed,
    request_id_of,
    shown_of,
    told_pause_s,
)
from apothic_backends.providers.base import Busy, ProviderError, Unclear
from apothic_backends.providers.rates import Limit, Rates
from apothic_backends.remote.address import Address

T = TypeVar("T")

log = logging.getLogger("apothic.providers")

MOST_BYTES: Final = 32 * 1024 * 1024
"""The longest answer that is read."""

TRIES: Final = 5
"""How often something is asked, all in all."""

PATIENCE_S: Final = 30.0
"""The longest pause that is made for a limit, before a call or between two; then it is `Busy`."""

_CONNECT_S: Final = 10.0
_FIRST_PAUSE_S: Final = 0.5
_SKEW_S: Final = 120
_TOO_MANY: Final = 429
_TIMED_OUT: Final = 408


class Clock(NamedTuple):
    """Time and chance, so that tests can have their own."""

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    """Unix seconds."""
    sleep: Callable[[float], object] = time.sleep
    chance: Callable[[], float] = random.random
    """A number from 0 to 1."""


class Refusal(ProviderError):
    """The provider answered, and not with success: nothing was done.

    `data`: `status`, the status code of HTTP; `text`, the beginning of what it said;
    `request_id`, by which its people find the call.
    """

    code = "provider_refusal"
    told: Any = None
    """What it said, if that is JSON; secrets are hidden in it."""


def as_told(told: Any) -> Any:
    """Read an answer as it is."""
    return told


class Speaker:
    """Speaks with one server for one account; any thread may call, several at once.

    `headers` go along with each call; what is in them is never shown. `limits` are by action, and
    hold for each key of an action by itself. `timeout_s` is how long it may take until an answer
    begins, and once more until it is whole.

    Raises:
        UsageError: the address is none, or not one to which a token can be sent; or the token is
            none; or the extra is not installed.
    """

    def __init__(
        self,
        provider: str,
        base_url: str,
        headers: Mapping[str, str],
        limits: Mapping[str, Limit] | None = None,
        *,
        timeout_s: float = 30.0,
        clock: Clock | None = None,
    ) -> None:
        _check_headers(provider, headers)
        self._library = _library()
        self._provider, self._base = provider, base_url.rstrip("/")
        self._clock, self._timeout_s = clock or Clock(), timeout_s
        self._secrets = [part for value in headers.values() for part in _parts_of(value)]
        self._rates, self._lock = Rates(limits or {}), threading.Lock()
        is_here = _is_here(base_url, provider)
        self._client: Any = self._library.Client(
            headers={"accept": "application/json", "accept-encoding": "identity", **headers},
            timeout=timeout_s,
            trust_env=not is_here,  # no proxy is asked for what is here
            verify=not base_url.startswith("http://"),  # certificates take long to load
            limits=self._library.Limits(max_connections=32, keepalive_expiry=4.0),
        )

    def __repr__(self) -> str:
        """Without what it sends."""
        return f"Speaker({self._provider!r}, {self._base!r})"

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        action: str = "",
        key: str = "",
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        changes: bool = False,
        read: Callable[[Any], T] = as_told,
        may_be_empty: bool = False,
        headers: Mapping[str, str] | None = None,
        hidden: Iterable[str] = (),
        is_private: bool = False,
        timeout_s: float | None = None,
    ) -> T:
        """Ask for something, and give what `read` makes of the answer's JSON.

        `read` raises `Nonsense` for what makes no sense; it gets None for an answer without a body
        where there `may_be_empty`. What is `hidden` is shown as little as what is in the headers;
        of an answer that is a success and `is_private`, no more than its size is.

        Raises:
            Refusal: the answer is an error; of something that only reads, or one of 4xx or 3xx.
            Busy: asked too often; `data["after_s"]` says when it may be asked again.
            Unclear: what `changes` something may have had its effect.
            ProviderError: nobody can be reached, or the answer makes no sense.
        """
        asked = _Asked(method, path, changes, is_private, Masks([*self._secrets, *hidden]))
        content = None if body is None else json.dumps(body).encode()
        sent = {**(headers or {})}
        if content is not None:
            sent["content-type"] = "application/json"
        answer = self._insist(
            asked,
            lambda: self.ask(
                method, path, query=query, content=content, headers=sent, timeout_s=timeout_s
            ),
            (action, key),
        )
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s: %s: %s %s", self._provider, asked, answer.status, asked.text_of(answer))
        if not is_success(answer.status):
            self._refuse(asked, answer, asked.text_of(answer))
        try:
            return read(parsed(answer.body, may_be_empty=may_be_empty))
        except (ValueError, RecursionError) as error:  # that of `Nonsense` and JSON
            shown = shown_of(asked.text_of(answer))
            why = f"answered {answer.status} with what makes no sense ({error}): {shown}"
            raise self._failed(asked, why, is_done=True) from None

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        content: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """One request, and its answer whatever that is. `path` may be a whole URL.

        Raises:
            Unsent: nobody can be reached.
            Lost: no whole answer came.
        """
        limit_s = timeout_s or self._timeout_s
        url = path if "://" in path else f"{self._base}{path}"
        its = self._library
        timeout = its.Timeout(limit_s, connect=min(limit_s, _CONNECT_S))
        try:
            with self._client.stream(
                method, url, params=query, content=content, headers=headers, timeout=timeout
            ) as answer:
                body = self._read(answer, limit_s)
                return Answer(answer.status_code, dict(answer.headers), body)
        except (its.ConnectError, its.ConnectTimeout, its.PoolTimeout, its.ProxyError) as error:
            raise Unsent(f"cannot be reached ({_named(error)})") from None
        except its.RequestError as error:
            raise Lost(f"gave no whole answer ({_named(error)})") from None

    def _read(self, answer: Any, limit_s: float) -> bytes:
        until = self._clock.monotonic() + limit_s
        body = bytearray()
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > MOST_BYTES:
                raise Lost(f"gave an answer of more than {MOST_BYTES} bytes")
            if self._clock.monotonic() > until:
                raise Lost(f"gave no whole answer within {limit_s:g} s")
        return bytes(body)

    # --- asking again ----------------------------------------------------------------------------

    def _insist(self, asked: _Asked, once: Callable[[], Answer], place: tuple[str, str]) -> Answer:
        for left in reversed(range(TRIES)):
            self._wait_for_turn(asked, place)
            pause_s = self._pause_s(TRIES - 1 - left)
            try:
                answer = once()
            except (Unsent, Lost) as error:
                may_be_done = isinstance(error, Lost)
                if not left or (may_be_done and asked.changes):
                    raise self._failed(asked, str(error), is_done=may_be_done) from None
                self._clock.sleep(pause_s)
                continue
            if answer.status == _TOO_MANY:
                self._put_off(asked, place, answer, pause_s, is_last=not left)
            elif asked.changes or answer.status < 500 or not left:  # noqa: PLR2004 - of HTTP
                return answer
            else:
                self._clock.sleep(max(pause_s, told_pause_s(answer, self._clock.now())))
        raise AssertionError("the last try gives an answer, or an error")

    def _pause_s(self, failures: int) -> float:
        longest = min(_FIRST_PAUSE_S * 2**failures, PATIENCE_S)
        return longest * (0.5 + self._clock.chance() / 2)

    def _wait_for_turn(self, asked: _Asked, place: tuple[str, str]) -> None:
        with self._lock:
            now = self._clock.monotonic()
            wait_s = self._rates.wait_s(*place, now)
            if wait_s > PATIENCE_S:
                raise self._busy(asked, wait_s)
            self._rates.count(*place, now)
        if wait_s:
            self._clock.sleep(wait_s)

    def _put_off(
        self,
        asked: _Asked,
        place: tuple[str, str],
        answer: Answer,
        pause_s: float,
        *,
        is_last: bool,
    ) -> None:
        """It was asked too often: nobody asks for the same before the pause is over."""
        wait_s = max(pause_s, told_pause_s(answer, self._clock.now()))
        with self._lock:
            now = self._clock.monotonic()
            self._rates.close(*place, now, now + wait_s)
        if is_last or wait_s > PATIENCE_S:
            raise self._busy(asked, wait_s)

    # --- what went wrong -------------------------------------------------------------------------

    def _busy(self, asked: _Asked, wait_s: float) -> Busy:
        return Busy(
            f"{self._provider} wants to be asked later for {asked}: in {wait_s:.0f} s; nothing was "
            "done",
            provider=self._provider,
            after_s=wait_s,
        )

    def _failed(self, asked: _Asked, why: str, *, is_done: bool) -> ProviderError:
        """`is_done` if it may have had its effect, in case that it has one."""
        why = asked.masks.text(why)
        if is_done and asked.changes:
            return Unclear(
                f"{self._provider} may have done {asked}, or not: it {why}", provider=self._provider
            )
        return ProviderError(f"{self._provider}: {asked}: it {why}", provider=self._provider)

    def _refuse(self, asked: _Asked, answer: Answer, text: str) -> NoReturn:
        status = answer.status
        if asked.changes and (status >= 500 or status == _TIMED_OUT):  # noqa: PLR2004 - of HTTP
            why = f"answered {status}: {shown_of(text)}{by_id(answer)}"
            raise self._failed(asked, why, is_done=True)
        notes = self._skew(answer) if status in (401, 403) else ""
        if 300 <= status < 400:  # noqa: PLR2004 - of HTTP
            notes = "; redirects are not followed, because the token would go along"
        error = Refusal(
            f"{self._provider} refused {asked}: {status}: {shown_of(text)}{notes}{by_id(answer)}",
            provider=self._provider,
            status=status,
            text=shown_of(text),
            request_id=request_id_of(answer),
        )
        try:
            error.told = json.loads(text)
        except (ValueError, RecursionError):
            pass
        raise error

    def _skew(self, answer: Answer) -> str:
        """A clock that is wrong makes tokens look outdated: say so where it may be the cause."""
        told = date_of(answer.headers.get("date", ""))
        ahead = 0.0 if told is None else self._clock.now() - told
        if abs(ahead) < _SKEW_S:
            return ""
        way = "ahead of" if ahead > 0 else "behind"
        return f"; the clock here is {abs(ahead):.0f} s {way} the provider's, which may be why"


class Unsent(Exception):
    """Nobody could be reached, so nothing was done."""


class Lost(Exception):
    """No whole answer came."""


class _Asked(NamedTuple):
    method: str
    path: str
    changes: bool
    is_private: bool
    masks: Masks

    def __str__(self) -> str:
        return self.masks.text(f"{self.method} {self.path}")

    def text_of(self, answer: Answer) -> str:
        """What was answered, without what must not be seen."""
        if self.is_private and is_success(answer.status):
            return f"{len(answer.body)} bytes"
        return self.masks.text(answer.body.decode("utf-8", "replace"))


def _library() -> ModuleType:
    try:
        import httpx2  # noqa: PLC0415 - no program needs it that rents nothing
    except ImportError:
        raise UsageError(
            "machines are rented over HTTP with httpx2, which is not installed: "
            "pip install 'apothic[cloud]'"
        ) from None
    return httpx2


def _check_headers(provider: str, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable() and value.strip() == value):
            raise UsageError(
                f"the {name} for {provider} holds what no header can, such as a line break: was "
                "the token copied whole, and nothing else?"
            )


def _is_here(url: str, provider: str) -> bool:
    """Whether that is on this machine.

    Raises:
        UsageError: it is elsewhere, and the token would be read on the way.
    """
    parts = urlsplit(url)
    is_here = Address(parts.scheme, parts.hostname or "", 0).is_loopback
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_here)):
        raise UsageError(
            f"{parts.scheme}://{parts.netloc.rpartition('@')[2]} is no address of {provider}: "
            "tokens are sent over https:// only, or to this machine"
        )
    return is_here


def _parts_of(header: str) -> list[str]:
    """What must not be seen of a header's value: all, and each word, such as one of many tokens."""
    return [header, *header.replace(",", " ").split()]


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
