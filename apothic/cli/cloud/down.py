"""What `apothic cloud down` does: everything goes, and what does not is named.

    rent nothing new ──► machines go, by two listings ──► the control plane goes ──► its key goes

The control plane stays for as long as a machine does that it could destroy.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack, closing
from typing import Final

from apothic.cli.cloud.bucket import bucket_of_machine
from apothic.cli.cloud.machine import NAME
from apothic.cli.cloud.profile import check_app, name_of, url_of
from apothic.cli.cloud.providers import fly, names_here, opened
from apothic.cli.cloud.sweep import LeftOver, confirm, remove, report, rounds
from apothic.cli.command import say
from apothic.cli.wishes import Wishes
from apothic_backends.base import Backend
from apothic_backends.commands.machines import GetCloud, ReleaseMachines
from apothic_backends.model.errors import BackendError, NoControlPlane
from apothic_backends.model.machines import CREATING, DESTROYING, MachineSnapshot, VolumeSnapshot
from apothic_backends.providers.fly.app import FlyApp
from apothic_backends.providers.fly.machines import app_of
from apothic_backends.remote.backend import open_remote
from apothic_backends.remote.profiles import CLOUD, Profile, Profiles

_GONE_S: Final = 300.0
"""What an app gets to go."""

_ROUND_S: Final = 1.0


def down(
    asked: Wishes, *, app: str | None, force: bool, yes: bool, keep_volumes: bool, timeout_s: float
) -> None:
    """Give everything back.

    Raises:
        NoControlPlane: there is none that this user knows of.
        LeftOver: something is there still.
    """
    names = names_here()
    profile = Profiles().list().get(CLOUD)
    if profile is None and app is None:
        raise NoControlPlane(
            "this user knows of no control plane in the cloud: name its --app, or look for what is "
            "left with `apothic cloud sweep --dry-run`"
        )
    name = app or (name_of(profile) if profile else "")
    check_app(name)
    url = profile.url if profile is not None else url_of(name)
    rented = "all machines" if keep_volumes else "all machines and volumes (with what is in them)"
    question = f"Destroy {url}, all that it keeps, and {rented} that it has rented?"
    confirm(question, yes=yes, way_out="say --yes; `apothic cloud status` shows what there is")
    how = {"force": force, "keep_volumes": keep_volumes}
    prefix = _release(asked, profile, names, timeout_s, **how)
    if prefix is not None:
        _remove(asked, names, prefix, timeout_s, keep_volumes=keep_volumes)
    bucket, left = _destroy(asked, name, prefix if "fly" in names else None)
    if left:
        raise LeftOver(f"not removed: {', '.join(left)}: run the same command again", machines=left)
    Profiles().delete(CLOUD)
    if bucket:
        say(
            asked,
            f"the bucket {bucket} stays, with what volumes held: nothing says any more which file "
            "is which, so it can be emptied",
        )
    if prefix is None:
        say(asked, "its machines end by themselves; look for them with `apothic cloud sweep`")


def _release(
    asked: Wishes,
    profile: Profile | None,
    names: tuple[str, ...],
    timeout_s: float,
    *,
    force: bool,
    keep_volumes: bool,
) -> str | None:
    """Have the control plane destroy its machines; how their tags begin, if it could be asked.

    Those of providers that cannot be asked from here, it has to have seen to be gone itself.

    Raises:
        LeftOver: of those some are there.
        BackendError: it cannot, and is not to be destroyed regardless of that.
    """
    strange: list[str] = []
    if profile is None:
        return None
    try:
        with closing(open_remote(profile.url, profile.api_key)) as backend:
            prefix = backend.start(GetCloud()).wait().prefix
            say(asked, "nothing new is rented, and what was is destroyed")
            strange = release(backend, names, timeout_s, spares=keep_volumes)
    except BackendError as error:
        if force:
            say(asked, f"{profile.url} cannot be asked: {error.message}")
            return None
        raise BackendError(
            f"{profile.url} cannot be asked to destroy its machines ({error.message}). With "
            "--force it is destroyed nevertheless; then look with `apothic cloud sweep`"
        ) from None
    if strange and not force:
        raise LeftOver(
            f"not removed: {', '.join(strange)}, of providers whose keys are not in this "
            "environment: run the same command again with them, or later",
            machines=strange,
        )
    return prefix


def release(
    backend: Backend, names: Collection[str], timeout_s: float, *, spares: bool = False
) -> list[str]:
    """Have a control plane destroy its machines, until their providers know.

    Those of others than `names` can be looked for by the control plane alone: the ones that it has
    not seen to be gone when the time is over. Nor does it delete volumes: unless it `spares` them,
    those of others are named, too.
    """
    strange: list[str] = []
    volumes: tuple[VolumeSnapshot, ...] = ()
    for _ in rounds(timeout_s):
        seen = backend.start(ReleaseMachines(timeout_s=_ROUND_S)).wait()
        left, volumes = seen.machines, seen.volumes
        strange = [_name_of(it) for it in left if it.provider not in names]
        if not strange and all(map(_is_told, left)) and not any(map(_is_coming, volumes)):
            break
    others = [it for it in volumes if it.provider not in names and not spares]
    return strange + [f"volume {it.name} ({it.label}) at {it.provider}" for it in others]


def _name_of(machine: MachineSnapshot) -> str:
    return f"{machine.provider} {machine.provider_id or machine.machine_id} ({machine.tag})"


def _is_coming(volume: VolumeSnapshot) -> bool:
    """Whether its provider may still make it."""
    return volume.status == CREATING


def _is_told(machine: MachineSnapshot) -> bool:
    """Whether its provider knows that it is to go: what is being made may still come."""
    return machine.status == DESTROYING and bool(machine.provider_id)


def _remove(
    asked: Wishes, names: tuple[str, ...], prefix: str, timeout_s: float, *, keep_volumes: bool
) -> None:
    """See to it that its providers have none of its machines any more, nor volumes that are to go.

    Raises:
        LeftOver: they have.
    """
    with ExitStack() as open_ones:
        providers = {name: open_ones.enter_context(closing(opened(name))) for name in names}
        found, unasked = remove(asked, providers, prefix, None, timeout_s, spares=keep_volumes)
    report(asked, found, unasked, {}, is_done=True)


def _destroy(asked: Wishes, name: str, prefix: str | None) -> tuple[str, list[str]]:
    """The control plane, its volume and its app go; gives its bucket, and what is there still."""
    with fly() as api:
        its = FlyApp(api, name)
        bucket = bucket_of_machine(its.config_of(NAME))
        say(asked, f"app {name} is destroyed")
        left = its.destroy_all(_GONE_S)
        if prefix is not None:  # where its machines were: it is empty, and costs nothing
            left += FlyApp(api, app_of(api.org, prefix)).destroy_all(_GONE_S)
    return bucket, left
