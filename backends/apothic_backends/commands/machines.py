"""Machines that are rented: what there is, what it costs, and giving all of it back."""

from __future__ import annotations

from apothic_backends.commands.base import Command
from apothic_backends.model.machines import CloudSnapshot, MachineSnapshot, PublishedImage


class ListMachines(Command[tuple[MachineSnapshot, ...]]):
    """Look at the machines that are rented or may be, the oldest first."""


class GetCloud(Command[CloudSnapshot]):
    """Look at what is rented, what that costs, and what stands in the way of more."""


class ReleaseMachines(Command[CloudSnapshot]):
    """Have all machines destroyed, and rent none until `AllowMachines`, over restarts too.

    What they run is lost, unless it is to `drain`: then it may end before. The reply comes when
    their providers show none of them any more, or after `timeout_s` with those that are left.
    """

    drain: bool = False
    timeout_s: float = 600.0


class AllowMachines(Command[CloudSnapshot]):
    """Have machines rented again where jobs need them, after `ReleaseMachines`."""


class PublishImage(Command[None]):
    """Have machines made of an image where functions of it lack them, from now on.

    One that was there before, for the same machines, is used no more.

    Raises:
        InvalidOption: it cannot be one.
    """

    image: PublishedImage


class ListImages(Command[tuple[PublishedImage, ...]]):
    """Look at the images of which machines can be made."""
