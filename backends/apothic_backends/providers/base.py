"""What is asked of a provider of machines. Every call blocks, and does one thing at the provider.

A provider decides nothing: which machine is rented, when one is destroyed, and what becomes of a
call whose outcome is unclear, is for whoever keeps the books. It speaks the provider's API, keeps
to its rate limits, and says in one of the errors below what has gone wrong.

A tag names a machine for ever: it is made up once, written down before the machine is asked for,
and never used for a second one. By it a machine is found again of which nothing else is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from apothic_backends.model.errors import BackendError
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.record import Aside, Record
from apothic_backends.placement.offers import Offer

BOOTING, RUNNING, STOPPED, FAILED = "booting", "running", "stopped", "failed"
"""How a machine is that is there, as far as its provider knows: what it runs may not be up yet; it
is paid for in each of them."""


class ProviderError(BackendError):
    """A provider has not done what it was asked for; `data["provider"]` says which."""

    code = "provider_error"


class OfferGone(ProviderError):
    """Somebody else has it, or it was withdrawn: nothing was rented, and another may do."""

    code = "offer_gone"


class NoCapacity(ProviderError):
    """There is no room for such a machine now, there or anywhere: nothing was rented."""

    code = "no_capacity"


class Blocked(ProviderError):
    """The account cannot have machines until somebody acts: a key, a quota, or money is missing."""

    code = "cloud_blocked"


class Busy(ProviderError):
    """The provider wants to be asked later (`data["after_s"]`), and has done nothing."""

    code = "provider_busy"


class Unclear(ProviderError):
    """The call may have had its effect, or not, or may still have it: look before you ask again."""

    code = "provider_unclear"


class Login(Record):
    """What opens a registry to whoever loads an image from it."""

    host: str
    user: str
    password: Aside[str]


class Mount(Record):
    """A rented volume, and where a machine is to have it."""

    provider_id: str
    path: str


class Order(Record):
    """A machine that is wanted.

    `tag` is at most 60 characters of `[A-Za-z0-9/_-]`. `argv` is run as its only program, with the
    variables `env` beside the provider's own; when that program ends, the machine is not started
    again. `offer` is one of those that the provider has told of; what would cost more than
    `most_usd_per_hour` is not to be rented.
    """

    tag: str
    offer: Offer
    image: str
    argv: tuple[str, ...]
    most_usd_per_hour: float
    disk_gb: float
    env: Aside[dict[str, str]]
    """Not shown: there is a token among them."""
    login: Login | None = None
    """For the registry of the image, if that asks who loads it. The machine's host sees it."""
    volume: Mount | None = None
    """What it is to have of those that lie on its host."""


class Rented(Record):
    """A machine that was made: what it is called there, and what it costs as the provider tells."""

    provider_id: str
    usd_per_hour: float
    host: str = ""
    """The computer that it is on, so that another is taken where this one does not come up."""


class Seen(Record):
    """A machine as the provider tells of it.

    `detail` is why it has failed or stopped, in the provider's words. What costs nothing any more
    is not told of at all.
    """

    provider_id: str
    tag: str
    state: str
    detail: str = ""
    usd_per_hour: float = 0.0
    host: str = ""
    created_at: float | None = None
    """Unix seconds."""
    preempted: bool = False
    """Whether it was stopped for somebody who pays more."""


class Listing(Record):
    """All machines whose tags begin alike. If it is not `whole`, others may be there as well."""

    machines: tuple[Seen, ...]
    whole: bool = True


def label_of(tag: str) -> str:
    """How a volume is called, or all of them are, where machines have such a tag or prefix."""
    return tag.replace("/", "_").replace("-", "_").replace(".", "_")


class VolumeOrder(Record):
    """A volume that is wanted on a host, for no more than so much.

    `label` is at most 64 letters, digits and `_`, and names it for ever, as a tag does a machine.
    """

    label: str
    host: str
    size_gb: int
    most_usd_per_hour: float


class SeenVolume(Record):
    """A volume as the provider tells of it: it costs until it is deleted, mounted or not."""

    provider_id: str
    label: str
    host: str
    size_gb: float
    usd_per_hour: float
    is_in_use: bool = False


class VolumeListing(Record):
    """All volumes whose labels begin alike. If it is not `whole`, others may be there as well."""

    volumes: tuple[SeenVolume, ...]
    whole: bool = True


class Volumes(Protocol):
    """Disks that outlive machines, each on one host: only machines there can have it."""

    def rent(self, order: VolumeOrder) -> SeenVolume:
        """Make one, once.

        Raises:
            OfferGone: there is no room for it on that host, or not for that.
            Blocked: none can be had.
            Unclear: it may have been made.
        """
        ...

    def list(self, prefix: str) -> VolumeListing:
        """All whose label begins so."""
        ...

    def delete(self, provider_id: str) -> None:
        """Have one go for good, with all that is in it; nothing happens if there is none.

        Raises:
            ProviderError: a machine has it still, or has had it until a moment ago.
        """
        ...


class Provider(Protocol):
    """One account at one provider; any thread may call, several at once.

    Each call raises `Blocked` (key), `Busy`, or `ProviderError` (what it says makes no sense), and
    `Unclear` if it changes anything.
    """

    name: str

    @property
    def volumes(self) -> Volumes | None:
        """Those that can be rented there, if any can."""
        ...

    def offers(self, spec: FunctionSpec, disk_gb: float) -> Sequence[Offer]:
        """What could be had for a function, each checked against all that it asks for.

        They are in any order. An offer's `name` is what it is rented by.
        """
        ...

    def create(self, order: Order) -> Rented:
        """Make a machine, once; it comes up after that.

        Raises:
            OfferGone: another offer may do.
            NoCapacity: as that.
            Blocked: no machine can be had.
            Unclear: it may have been made.
        """
        ...

    def list(self, prefix: str) -> Listing:
        """All whose tag begins so, whoever has made them, and whatever their state."""
        ...

    def destroy(self, provider_id: str) -> None:
        """Have a machine go for good; nothing happens if there is none. It may take a while."""
        ...

    def logs(self, provider_id: str) -> str:
        """The end of what it and its host have printed; empty if that cannot be had."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...
