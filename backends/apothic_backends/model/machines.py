"""Machines that are rented for as long as there is work for them, and what they cost."""

from __future__ import annotations

from typing import Final

from apothic_backends.model.record import Record

CREATING: Final = "creating"
"""Its provider was asked for it."""
UNCLEAR: Final = "unclear"
"""It may have been made, or not: it is looked for."""
BOOTING: Final = "booting"
"""It was made, and is paid for; its agent has not joined yet."""
UP: Final = "up"
"""Its agent has joined."""
RETIRING: Final = "retiring"
"""It gets nothing new, and what it runs may end."""
DESTROYING: Final = "destroying"
"""Its provider was told to destroy it; it may cost until it is seen to be gone."""
THERE: Final = "there"
"""A volume: it is paid for."""
LOST: Final = "lost"
"""A volume: its provider does not know it any more, though it was not deleted."""


class PublishedImage(Record):
    """An image in a registry of which machines are made for functions of one recipe.

    `digest` is the recipe's, and `reference` names the image by the digest of its content. It has
    the agent of that `release` of apothic in it. Only machines of `provider` can load it, if that
    is not empty.
    """

    digest: str
    reference: str
    provider: str = ""
    release: str = ""


class MachineSnapshot(Record):
    """A machine that is rented, or may be, at one moment.

    `status` is one of those above, since `since` (Unix seconds). `tag` names it at its provider for
    ever, and `provider_id` is what it is called there, empty while that is not known. It costs
    `usd_per_hour`; while it is being made, at most that. It was rented for `function`, which is
    `app/name` (empty: not known), and runs `executors` of any. `note` is what is wrong with it.
    """

    machine_id: str
    provider: str
    tag: str
    status: str
    since: float
    usd_per_hour: float
    created_at: float
    provider_id: str = ""
    host: str = ""
    gpu: str = ""
    gpu_count: int = 0
    function: str = ""
    agent: str = ""
    executors: int = 0
    note: str = ""


class VolumeSnapshot(Record):
    """A volume that is rented, or may be, at one moment: on one host, and billed until deleted.

    `name` is that of the `vast_local` volume for which it was rented, and `label` names it at its
    provider for ever. `status` is one of those above, since `since` (Unix seconds). `machines` have
    it mounted. `note` is what is wrong with it.
    """

    name: str
    provider: str
    label: str
    status: str
    since: float
    usd_per_hour: float
    created_at: float
    host: str
    size_gb: int
    provider_id: str = ""
    machines: tuple[str, ...] = ()
    note: str = ""


class ProviderSnapshot(Record):
    """A provider at one moment. While it is `blocked`, which says why, nothing is rented there.

    `seen_at` is when all of its machines were last listed (Unix seconds); `note` is why they could
    not be since.
    """

    name: str
    machines: int
    usd_per_hour: float
    blocked: str = ""
    seen_at: float | None = None
    note: str = ""


class CloudSnapshot(Record):
    """All that is rented at one moment, and what may be.

    `usd_per_hour` is what all machines and volumes cost together, those that are being made or
    destroyed included; it never exceeds `max_usd_per_hour` by what is asked for here. `spent_usd`
    is an estimate of what they have cost since `since` (Unix seconds). `waiting` says for each
    function (`app/name`) that waits for a machine why it has none. While `is_paused` nothing is
    rented.
    """

    prefix: str
    """How the tags of all machines of this control plane begin."""
    usd_per_hour: float
    max_usd_per_hour: float
    spent_usd: float
    since: float
    is_paused: bool
    providers: tuple[ProviderSnapshot, ...] = ()
    machines: tuple[MachineSnapshot, ...] = ()
    waiting: dict[str, str] = {}  # noqa: RUF012 - never mutated
    volumes: tuple[VolumeSnapshot, ...] = ()
    note: str = ""
    """What is wrong with volumes."""
