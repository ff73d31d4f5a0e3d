"""Renting machines: what may be rented, what is asked of providers, and what is told of them.

Each errand goes to one provider, and is answered by the fact of the same line once its outcome is
known, whatever that is; the host carries none out of its own accord, and none twice.

| errand       | answered by     |                                                           |
|--------------|-----------------|-----------------------------------------------------------|
| `SeekOffers` | `OffersFound`   | what could be had for a function                          |
| `Rent`       | `MachineRented` | a machine is asked for, once and for all under its tag    |
| `Destroy`    | `MachineEnded`  | the provider was told; whether it does so, a listing says |
| `ListRented` | `MachinesSeen`  | all machines with our prefix                              |
| `Forget`     | (nothing)       | a machine is gone: what it joins with holds no more       |

Of volumes that lie on one host there are `RentVolume` and `VolumeRented`, `DeleteVolume` and
`VolumeEnded`, `ListLabels` and `VolumesSeen`; and `VolumeDropped`, where users have deleted one.
"""

from __future__ import annotations

from apothic_backends.commands.base import Command
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.machines import PublishedImage
from apothic_backends.model.record import Record
from apothic_backends.placement.offers import Offer
from apothic_backends.providers.base import (
    Listing,
    Rented,
    SeenVolume,
    VolumeListing,
    VolumeOrder,
)
from apothic_emulator.core.effects import Errand
from apothic_emulator.core.hellos import Capacity

BOOT_S = 600.0
"""How long a machine has to come up."""

IDLE_S = 300.0
"""How long one without executors is kept."""

LIFETIME_S = 24 * 3600.0
"""How long one lives at most: it is drained a tenth before, and ends itself then."""

VOLUME_GB = 20
"""The size of volumes that lie on one host."""


class Terms(Record):
    """What may be rented: at these providers, for so much an hour in all.

    A machine has `boot_s` to join, is kept `idle_s` without executors, and lives `lifetime_s` at
    most; each gets `disk_gb` at least. `home` is what the control plane's own machine has, if it
    runs functions: those that need more are rented for, however much runs there already.
    """

    providers: tuple[str, ...]
    max_usd_per_hour: float
    boot_s: float = BOOT_S
    idle_s: float = IDLE_S
    lifetime_s: float = LIFETIME_S
    disk_gb: float = 16.0
    home: Capacity | None = None
    volume_gb: int = VOLUME_GB
    """The size of volumes that are made on one host; none can grow."""


class RentedVolume(Record):
    """A volume that a machine is to have: what it is called here and there, and its host."""

    name: str
    provider_id: str
    host: str


class SeekOffers(Errand):
    """Find out what could be had for a function."""

    function: int
    provider: str
    spec: FunctionSpec
    disk_gb: float


class Rent(Errand):
    """Make a machine. Its record is durable; what costs more than it says is not to be rented.

    It is to end itself after `lifetime_s`, whatever happens.
    """

    machine: int
    provider: str
    tag: str
    offer: Offer
    most_usd_per_hour: float
    disk_gb: float
    lifetime_s: float
    image: PublishedImage | None = None
    """Of what it is made; else of what all are made."""
    volume: RentedVolume | None = None
    """Which it is to have mounted."""


class Destroy(Errand):
    """Have a machine go for good."""

    machine: int
    provider: str
    provider_id: str
    tag: str
    has_failed: bool = False
    """Whether it has not come up, and now is the time to see what it has printed."""
    late_s: float = 0.0
    """For how long it should have been gone, if that is long."""


class ListRented(Errand):
    """List all machines whose tags begin so; `asked_at` comes back with the answer."""

    provider: str
    prefix: str
    asked_at: float


class Forget(Errand):
    """A machine is known no more: what its agent joined with is to hold no more."""

    machine: int
    provider: str
    tag: str


class RentVolume(Errand):
    """Make a volume. Its record is durable. `name` is what users call it."""

    volume: int
    provider: str
    name: str
    order: VolumeOrder


class DeleteVolume(Errand):
    """Have a volume go for good; 0 is one that is known no more, or was never known."""

    volume: int
    provider: str
    provider_id: str


class ListLabels(Errand):
    """List all volumes whose labels begin so; `asked_at` comes back with the answer."""

    provider: str
    prefix: str
    asked_at: float


class Failure(Record):
    """What has gone wrong: the code of a `ProviderError`, what it says, and when to ask again."""

    code: str
    message: str
    after_s: float = 0.0


class OffersFound(Command[None]):
    """What a provider has for a function, or why that is not known."""

    function: int
    provider: str
    offers: tuple[Offer, ...] = ()
    failure: Failure | None = None


class MachineRented(Command[None]):
    """A machine was made, or was not, or may have been: the failure says which."""

    machine: int
    provider: str
    tag: str
    rented: Rented | None = None
    failure: Failure | None = None


class MachineEnded(Command[None]):
    """A provider was told to destroy a machine, or could not be.

    `said` is the end of what one that has failed had printed.
    """

    machine: int
    failure: Failure | None = None
    said: str = ""


class MachinesSeen(Command[None]):
    """What a provider has listed, or why it has not."""

    provider: str
    asked_at: float
    listing: Listing | None = None
    failure: Failure | None = None


class VolumeRented(Command[None]):
    """A volume was made, or was not, or may have been: the failure says which."""

    volume: int
    provider: str
    label: str
    seen: SeenVolume | None = None
    failure: Failure | None = None


class VolumeEnded(Command[None]):
    """A provider was told to delete a volume, or could not be."""

    volume: int
    failure: Failure | None = None


class VolumesSeen(Command[None]):
    """The volumes that a provider has listed, or why it has not."""

    provider: str
    asked_at: float
    listing: VolumeListing | None = None
    failure: Failure | None = None


class VolumeDropped(Command[None]):
    """A volume of that name is deleted here: what was rented for it is to go."""

    name: str
