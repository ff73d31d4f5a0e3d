"""Machines of Fly for functions without GPUs; the protocol is in `apothic_backends.providers.base`.

Those whose tags begin alike, up to the last `/`, are in one app, which is made when the first is
wanted; its name is a digest of that beginning. A tag is in a machine's metadata and, as a digest,
its name: no app has two machines of one name, so no tag has two machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.placement.compiling import conditions_of
from apothic_backends.placement.offers import Offer, choose
from apothic_backends.providers.base import (
    Blocked,
    Listing,
    NoCapacity,
    Order,
    ProviderError,
    Rented,
    Seen,
    Unclear,
)
from apothic_backends.providers.fly import sizes
from apothic_backends.providers.fly.api import URL, FlyApi
from apothic_backends.providers.fly.app import KNOWN_WITHIN_S, FlyApp
from apothic_backends.providers.fly.machines import (
    APPS,
    Machine,
    app_of,
    asked_for,
    id_of,
    seen,
)
from apothic_backends.providers.fly.refusals import is_image_missing, is_missing, is_name_taken
from apothic_backends.providers.http import Clock, Refusal

_PAUSE_S: Final = 2.0


class FlyProvider:
    """One organisation's machines, in apps of which the names begin with `apothic-`."""

    name = "fly"
    volumes = None
    """Those that apps of ours have are not rented for functions."""

    def __init__(
        self,
        token: str,
        org: str,
        *,
        regions: Sequence[str] = (*sizes.REGIONS,),
        url: str = URL,
        clock: Clock | None = None,
    ) -> None:
        """`regions` are those where machines may be.

        Raises:
            UsageError: the token or the address cannot be one.
        """
        self._api = FlyApi(token, org, url=url, clock=clock)
        self._regions = tuple(regions)

    def close(self) -> None:
        """Hang up."""
        self._api.close()

    def offers(self, spec: FunctionSpec, disk_gb: float) -> Sequence[Offer]:
        """The smallest machines that will do, of each kind, in each region; nobody is asked.

        Prices are estimates (see `sizes`). Whether there is room is known when one is made.
        """
        most_gb = max(disk_gb, spec.disk_gb)
        found = [*sizes.offers(spec.cpu or 1, spec.memory_mb, most_gb, self._regions)]
        return choose(conditions_of(spec), found).candidates

    # --- one machine -----------------------------------------------------------------------------

    def create(self, order: Order) -> Rented:
        """Make a machine, once.

        It may take a minute: what is refused because an app or an image is too new to be known
        everywhere is asked for again, as nothing was made.
        """
        guest, region = sizes.named(order.offer)
        usd_per_hour = sizes.usd_per_hour(guest, region, order.disk_gb)
        if usd_per_hour > order.most_usd_per_hour:
            raise NoCapacity(
                f"fly: {order.offer.name} costs ${usd_per_hour:.4f}/h, and no more than "
                f"${order.most_usd_per_hour:.4f}/h may be paid",
                provider=self.name,
            )
        machine = self._made(order)
        actual = sizes.usd_per_hour(guest, machine.region, order.disk_gb)
        return Rented(id_of(app_of(self._api.org, order.tag), machine), actual, machine.region)

    def _made(self, order: Order) -> Machine:
        body, hidden = asked_for(order), [*order.env.values()]
        app = FlyApp(self._api, app_of(self._api.org, order.tag))
        until = self._api.clock.monotonic() + KNOWN_WITHIN_S
        is_ensured = False
        while True:
            try:
                return self._api.create_machine(app.name, body, hidden)
            except (Refusal, Blocked) as error:
                its = _refusal_or_raise(error, order, is_app_new=is_ensured)
            if self._api.clock.monotonic() > until:
                raise its
            if not is_ensured and not is_image_missing(its):
                app.ensure()
                is_ensured = True
            self._api.clock.sleep(_PAUSE_S)

    def list(self, prefix: str) -> Listing:
        """All whose tag begins so."""
        is_of_one_app = prefix.count("/") > 1
        apps = [app_of(self._api.org, prefix)] if is_of_one_app else self._apps()
        found, is_whole = list[Seen](), True
        for app in apps:
            for machine in self._machines(app):
                tag = machine.tag
                is_whole = is_whole and (tag is not None or machine.is_gone)
                if tag and tag.startswith(prefix) and not machine.is_gone:
                    found.append(seen(app, machine, tag))
        return Listing(tuple(found), is_whole)

    def _apps(self) -> Sequence[str]:
        return [name for name in self._api.apps() if name.startswith(APPS)]

    def _machines(self, app: str) -> Sequence[Machine]:
        try:
            return self._api.machines(app)
        except Refusal as error:
            if is_missing(error):
                return ()  # there is no app, so nothing is in it
            raise

    def destroy(self, provider_id: str) -> None:
        """Have a machine go for good, whatever it does."""
        app, _, machine_id = provider_id.partition("/")
        try:
            self._api.destroy_machine(app, machine_id)
        except Refusal as error:
            if not is_missing(error):
                raise

    def logs(self, provider_id: str) -> str:
        """The last lines that it has printed, where that can be had."""
        app, _, machine_id = provider_id.partition("/")
        try:
            return self._api.logs(app, machine_id)
        except ProviderError:
            return ""


def _refusal_or_raise(error: Any, order: Order, *, is_app_new: bool) -> Refusal:
    """A refusal after which the same may be asked again: it is about what is not yet known.

    Raises:
        Unclear: there is a machine of that name: an earlier call for it had its effect.
        ProviderError: as it was.
    """
    if isinstance(error, Blocked):
        if is_app_new and error.data["status"] == 401:  # noqa: PLR2004 - of HTTP
            return Refusal(error.message, **error.data)  # so it is with an app of seconds ago
        raise error
    if is_name_taken(error):
        raise Unclear(f"{error.message}; it has been made for {order.tag}", provider="fly")
    if is_missing(error) or is_image_missing(error):
        return error
    raise error
