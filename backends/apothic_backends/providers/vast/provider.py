"""An account at Vast.ai. Read `apothic_backends.providers.base` first.

A machine is known there by its label, which is our tag. Its program is the arguments of its image's
entrypoint, so that image should have none; Vast may start a program again that has ended.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.placement.offers import Offer
from apothic_backends.providers.base import (
    BOOTING,
    FAILED,
    Blocked,
    Busy,
    Listing,
    OfferGone,
    Order,
    ProviderError,
    Rented,
    Seen,
    Unclear,
)
from apothic_backends.providers.http import Clock, Refusal
from apothic_backends.providers.reading import Nonsense, a_list, number
from apothic_backends.providers.vast import renting, searching
from apothic_backends.providers.vast.calls import SERVER, Api, meaning, says_nothing_there
from apothic_backends.providers.vast.instances import (
    UNREACHED,
    is_object,
    seen_of,
    text_of,
    usd_per_hour_of,
)
from apothic_backends.providers.vast.logs import Logs
from apothic_backends.providers.vast.volumes import VastVolumes

ROWS_A_PAGE: Final = 25
_MOST_PAGES: Final = 200
_PAGES_OF_OFFERS: Final = 3
_FRESH_S: Final = 5.0
_CREDIT_HOURS: Final = 2
_CREATE_S: Final = 120.0
_LOST_S: Final = 60.0
"""A host that is not heard of for less may be back."""
_LONG_S: Final = 600.0


class VastProvider:
    """Machines of one account. `api_key` may do: misc, user_read, instance_read, instance_write."""

    name = "vast"

    def __init__(self, api_key: str, base_url: str = SERVER, *, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._api = Api(api_key, base_url, self._clock)
        self._logs = Logs(self._api, base_url, self._clock)
        self._answers: dict[str, tuple[float, list[Any]]] = {}
        self._lost_since: dict[str, float] = {}
        self.volumes: VastVolumes | None = VastVolumes(self._api)

    def __repr__(self) -> str:
        """Without the key."""
        return "VastProvider()"

    # --- offers ----------------------------------------------------------------------------------

    def offers(self, spec: FunctionSpec, disk_gb: float) -> Sequence[Offer]:
        """What could be had for a function, the best liked first: of about the 190 cheapest.

        Nothing for one without GPUs, unless its filters name this provider.
        """
        if not searching.is_meant(spec):
            return ()
        rows: list[Any] = []
        floor: float | None = 0.0
        for _ in range(_PAGES_OF_OFFERS):
            page = self._search(searching.body_of(spec, disk_gb, floor))
            rows += page
            floor = searching.next_floor(page, floor)
            if floor is None:
                break
        return searching.fitting(spec, searching.offers_of(rows, disk_gb))

    def _search(self, body: dict[str, Any]) -> list[Any]:
        """The answer to a search; the same one is not asked again for some seconds."""
        key, now = json.dumps(body), self._clock.monotonic()
        self._answers = {
            it: kept for it, kept in list(self._answers.items()) if now - kept[0] < _FRESH_S
        }
        if key not in self._answers:
            self._answers[key] = now, self._ask(body)
        return self._answers[key][1]

    def _ask(self, body: dict[str, Any]) -> list[Any]:
        try:
            return self._api.call(
                "POST", "/api/v0/bundles/", "search", lambda it: _rows(it, "offers"), body=body
            )
        except Refusal as refusal:
            raise meaning(refusal) from None
        except Busy as busy:
            if busy.data["after_s"] < _LONG_S:
                raise
            raise Blocked(
                f"Vast lets nobody search so often: {busy.message}", **busy.data
            ) from None

    # --- making ----------------------------------------------------------------------------------

    def create(self, order: Order) -> Rented:
        """Rent an offer."""
        body = renting.body_of(order)
        self._check_price(order)
        self._check_credit(order)
        try:
            made = self._api.call(
                "PUT",
                f"/api/v0/asks/{order.offer.name}/",
                "create",
                lambda told: int(number(told, "new_contract")),
                body=body,
                changes=True,
                hidden=renting.secrets_of(order),
                timeout_s=_CREATE_S,
            )
        except Refusal as refusal:
            self._undo(refusal, order)
            raise meaning(refusal) from None
        price = self._price_of(made)
        told = order.offer.usd_per_hour or 0.0
        host = order.offer.values.get("machine_id", "")
        return Rented(str(made), told if price is None else price, str(host))

    def _check_price(self, order: Order) -> None:
        usd = order.offer.usd_per_hour
        if usd is None or usd > order.most_usd_per_hour:
            raise OfferGone(
                f"offer {order.offer.name} costs more than ${order.most_usd_per_hour:.3f}/h",
                provider=self.name,
            )

    def _check_credit(self, order: Order) -> None:
        """At no credit Vast stops all machines of an account, so none is rented near that."""
        credit = self.credit()
        if credit is not None and credit < _CREDIT_HOURS * order.most_usd_per_hour:
            raise Blocked(
                f"the account at Vast has ${credit:.2f} of credit left, which is less than "
                f"{_CREDIT_HOURS} hours of a machine at ${order.most_usd_per_hour:.2f}/h: add some "
                "at https://cloud.vast.ai/billing/",
                provider=self.name,
            )

    def credit(self) -> float | None:
        """Dollars that can be spent; None if the key may not know, or nobody answers."""
        try:
            return self._api.call(
                "GET",
                "/api/v0/users/current/",
                "user",
                lambda told: number(told, "credit"),
                query={"owner": "me"},
            )
        except ProviderError:
            return None

    def _undo(self, refusal: Refusal, order: Order) -> None:
        """Some refusals have made a machine all the same: one that is stopped, and costs its disk.

        Raises:
            Unclear: it may be there still.
        """
        made = refusal.told.get("new_contract") if is_object(refusal.told) else None
        if made is None:
            return
        try:
            self.destroy(str(made))
        except ProviderError as error:
            raise Unclear(
                f"Vast has refused offer {order.offer.name} and yet made machine {made}, which "
                f"could not be destroyed at once: {error.message}",
                provider=self.name,
            ) from error

    def _price_of(self, made: int) -> float | None:
        """What it costs by now, which may not be what was offered; None if that cannot be read."""
        with suppress(ProviderError):
            return self._api.call("GET", f"/api/v0/instances/{made}/", "show", _price, query=_MINE)
        return None

    # --- looking ---------------------------------------------------------------------------------

    def list(self, prefix: str) -> Listing:
        """All whose labels begin so."""
        rows, is_whole = self._list()
        seen = self._seen(rows)
        self._lost_since = {
            it: since
            for it, since in list(self._lost_since.items())
            if any(one.provider_id == it for one in seen)
        }
        is_whole = is_whole and len(seen) == len(rows)
        return Listing(tuple(it for it in seen if it.tag.startswith(prefix)), is_whole)

    def _list(self) -> tuple[list[Any], bool]:
        """Rows of machines, and whether those are all."""
        query = {"limit": ROWS_A_PAGE, "order_by": json.dumps([{"col": "id", "dir": "asc"}])}
        rows: list[Any] = []
        for _ in range(_MOST_PAGES):
            try:
                page, token, count = self._api.call(
                    "GET", "/api/v1/instances/", "list", _page, query=query
                )
            except ProviderError as error:
                if rows:
                    return rows, False
                raise (meaning(error) if isinstance(error, Refusal) else error) from None
            rows += page
            if not token:
                return rows, len(rows) >= count
            query["after_token"] = token
        return rows, False

    def _seen(self, rows: list[Any]) -> list[Seen]:
        found: dict[str, Seen] = {}
        for row in rows:
            seen = seen_of(row) if is_object(row) else None
            if seen is not None:
                is_lost = seen.state == FAILED and text_of(row, "actual_status") in UNREACHED
                found[seen.provider_id] = self._patient(seen) if is_lost else self._back(seen)
        return list(found.values())

    def _patient(self, seen: Seen) -> Seen:
        """A host that is not reached may be back in a moment: it has failed if it stays so."""
        now = self._clock.monotonic()
        since = self._lost_since.setdefault(seen.provider_id, now)
        return seen if now - since >= _LOST_S else seen.replace(state=BOOTING)

    def _back(self, seen: Seen) -> Seen:
        self._lost_since.pop(seen.provider_id, None)
        return seen

    # --- the rest --------------------------------------------------------------------------------

    def destroy(self, provider_id: str) -> None:
        """Have a machine go for good, with its disk."""
        try:
            self._api.call(
                "DELETE",
                f"/api/v0/instances/{_number(provider_id)}/",
                "destroy",
                lambda _: None,
                body={},
                changes=True,
            )
        except Refusal as refusal:
            if not says_nothing_there(refusal):
                raise meaning(refusal) from None

    def logs(self, provider_id: str) -> str:
        """The end of what a machine and its host have printed; that takes some seconds."""
        return self._logs.of(_number(provider_id))

    def close(self) -> None:
        """Hang up."""
        self._api.close()


_MINE: Final = {"owner": "me"}


def _rows(told: dict[str, Any], name: str) -> list[Any]:
    if name not in told:
        raise Nonsense(f"{name!r} is not told")
    return a_list(told[name], name)


def _page(told: dict[str, Any]) -> tuple[list[Any], str, int]:
    token, count = told.get("next_token"), told.get("instances_found")
    rows = _rows(told, "instances")
    return rows, token if isinstance(token, str) else "", count if isinstance(count, int) else 0


def _price(told: dict[str, Any]) -> float | None:
    row = told.get("instances")
    return usd_per_hour_of(row) if is_object(row) else None


def _number(provider_id: str) -> int:
    if not (provider_id.isascii() and provider_id.isdecimal()):
        raise ProviderError(f"{provider_id!r} is no machine of Vast's", provider="vast")
    return int(provider_id)
