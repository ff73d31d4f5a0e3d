"""An app of Fly with all that it has: what a control plane there needs, made once and kept.

Each call brings about a state, and does nothing where it is there already; so a program that ended
in the middle is run again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from apothic_backends.providers.base import Blocked, Busy, ProviderError, Unclear
from apothic_backends.providers.fly.api import FlyApi
from apothic_backends.providers.fly.disks import Disk, disk_in, there
from apothic_backends.providers.fly.machines import Machine
from apothic_backends.providers.fly.refusals import (
    has_timed_out,
    is_image_missing,
    is_missing,
    is_name_taken,
    is_secret_late,
)
from apothic_backends.providers.fly.sizes import Guest
from apothic_backends.providers.http import Refusal

KNOWN_WITHIN_S: Final = 60.0
"""How long it may take until all of Fly knows of a new app or a new image."""

_START_S: Final = 300.0
"""How long a machine may take to start: a large image is loaded first."""

_FORBIDDEN: Final = 403
_LEASE_S: Final = 120
_PAUSE_S: Final = 2.0
_SUM: Final = "apothic_config"
"""Where a machine's metadata has the digest of what it was asked to be."""

_PRIVATE: Final = "fdaa:"
"""How addresses begin that lead nowhere from outside of Fly."""

_OVER: Final = frozenset({"stopped", "failed", "launch_failed", "destroying", "destroyed"})


class FlyApp:
    """An app, by name; names are those of all of Fly's users together."""

    def __init__(self, api: FlyApi, name: str) -> None:
        self._api, self.name = api, name
        self._secrets = ""
        """A digest of those that were set."""

    # --- the app ---------------------------------------------------------------------------------

    def ensure(self) -> None:
        """See to it that it is there.

        Raises:
            ProviderError: another organisation has an app of that name; or as the API does.
        """
        if self.is_there():
            return
        try:
            self._api.create_app(self.name)
        except Unclear:
            pass  # it is looked for now
        except Refusal as error:
            if not is_name_taken(error):
                raise
        until = self._api.clock.monotonic() + KNOWN_WITHIN_S
        while not self.is_there():
            if self._api.clock.monotonic() > until:
                raise ProviderError(
                    f"fly has no app {self.name!r} {KNOWN_WITHIN_S:g} s after it was made; if "
                    "another organisation has one of that name, choose another",
                    provider="fly",
                )
            self._api.clock.sleep(_PAUSE_S)

    def is_there(self) -> bool:
        """Whether it is, in this organisation.

        Raises:
            Blocked: another organisation has it, or the token is not good.
        """
        try:
            its = self._api.app(self.name)
        except Refusal as error:
            if is_missing(error):
                return False
            raise
        except Blocked as error:
            if error.data["status"] != _FORBIDDEN:
                raise
            raise Blocked(
                f"fly does not let this token see the app {self.name!r}: somebody else has one of "
                f"that name, so choose another, or it is of another organisation ({error.message})",
                **error.data,
            ) from None
        org = its.get("organization")
        slug = org.get("slug") if isinstance(org, dict) else None  # type: ignore[reportUnknownMemberType]
        if slug is not None and slug != self._api.org:
            raise Blocked(
                f"fly: the app {self.name!r} is of the organisation {slug!r}, not of "
                f"{self._api.org!r}: choose another name, or that organisation",
                provider="fly",
            )
        return True

    def _once_known(self, ask: Callable[[], Any]) -> Any:
        """Ask, and again where an app, an image or a secret is too new to be known everywhere."""
        until = self._api.clock.monotonic() + KNOWN_WITHIN_S
        while True:
            try:
                return ask()
            except Refusal as error:
                is_new = any(its(error) for its in (is_missing, is_image_missing, is_secret_late))
                if not is_new or self._api.clock.monotonic() > until:
                    raise
            self._api.clock.sleep(_PAUSE_S)

    # --- what it has -----------------------------------------------------------------------------

    def set_secrets(self, values: Mapping[str, str]) -> int:
        """Set them; machines get them from the version on that this gives, when they start."""
        self._secrets = _digest(sorted(values.items()))
        return int(self._once_known(lambda: self._api.set_secrets(self.name, values)))

    def ensure_volume(self, name: str, region: str, size_gb: int, guest: Guest) -> Disk:
        """A disk of at least that size, on a computer with room for a machine like that.

        `name` is at most 30 of `[a-z0-9_]`. One that is there stays in its region, and grows; what
        runs finds it larger when its machine has started anew.
        """
        found = disk_in(self._volumes(), name, region)
        if found is None:
            told = {"name": name, "region": region, "size_gb": size_gb, "encrypted": True}
            body = {**told, "compute": guest.told}
            try:
                made = self._once_known(lambda: self._api.create_volume(self.name, body))
                return Disk(str(made), region, size_gb)
            except Unclear:
                found = disk_in(self._volumes(), name, region)  # names are not unique
                if found is None:
                    raise
        if found.size_gb >= size_gb:
            return found
        self._api.extend_volume(self.name, found.id, size_gb)
        return found._replace(size_gb=size_gb)

    def _volumes(self) -> Sequence[Mapping[str, Any]]:
        return there(self._once_known(lambda: self._api.volumes(self.name)))

    def ensure_addresses(self, *, own_ipv4: bool = False) -> None:
        """See to it that `https://NAME.fly.dev` leads to it; an app that was made here has none.

        With `own_ipv4` it has an IPv4 address to itself, which is paid for; without, it shares one,
        and one of its own is given back. Fly wants no app to have both.
        """
        there = self._addresses()
        own, shared = _own_ipv4(there), [its for its in there if its.get("shared")]
        if own_ipv4 and not own:
            self._api.add_address(self.name, "v4")
        for its in shared if own_ipv4 else own:
            self._give_back(its)
        if not own_ipv4 and not shared:
            self._api.add_address(self.name, "shared_v4")
        if not any(_is_public_ipv6(its) for its in there):
            self._api.add_address(self.name, "v6")

    def _give_back(self, address: Mapping[str, Any]) -> None:
        try:
            self._api.remove_address(self.name, str(address["ip"]))
        except Refusal as error:
            if not is_missing(error):
                raise

    def has_own_ipv4(self) -> bool:
        """Whether it has an IPv4 address that is paid for."""
        return bool(_own_ipv4(self._addresses()))

    def _addresses(self) -> Sequence[Mapping[str, Any]]:
        return self._once_known(lambda: self._api.addresses(self.name))

    # --- its machine -----------------------------------------------------------------------------

    def ensure_machine(
        self, name: str, region: str, config: Mapping[str, Any], secrets_version: int = 0
    ) -> str:
        """One machine of that name, which is what `config` says and has started; gives its id.

        One that is something else, or has other secrets, is changed where it is. Values of secrets
        do not belong into `config`: they are set before, and come with `secrets_version`.

        Raises:
            NoCapacity: there is no room for it, or on the computer that it or its volume is on.
            ProviderError: it has not started; the message says what is known of why.
        """
        asked = _summed(config, self._secrets)
        body: dict[str, Any] = {"name": name, "region": region, "config": asked}
        if secrets_version:
            body["min_secrets_version"] = secrets_version
        machine = self._named(name)
        if machine is None:
            machine = self._create(name, body)
        elif not _is_as_asked(machine, asked):
            machine = self._update(machine, body)
        self.wait_started(machine)
        return machine.id

    def _named(self, name: str) -> Machine | None:
        machines = self._once_known(lambda: self._api.machines(self.name))
        those = (it for it in machines if it.name == name and not it.is_gone)
        return next(those, None)

    def _create(self, name: str, body: Mapping[str, Any]) -> Machine:
        try:
            return self._once_known(lambda: self._api.create_machine(self.name, body))
        except Unclear:
            machine = self._named(name)
            if machine is None:
                raise
            return machine

    def _update(self, machine: Machine, body: Mapping[str, Any]) -> Machine:
        if machine.config is None:
            raise ProviderError(
                f"fly: the computer that machine {machine.id} is on is {machine.host_status}: what "
                "it is now cannot be told, so it is not changed; wait, or destroy it",
                provider="fly",
            )
        nonce = self._api.lease(self.name, machine.id, _LEASE_S)
        try:
            change = {key: its for key, its in body.items() if key not in ("name", "region")}
            return self._once_known(
                lambda: self._api.update_machine(self.name, machine.id, change, nonce)
            )
        finally:
            self._release(machine.id, nonce)

    def _release(self, machine_id: str, nonce: str) -> None:
        try:
            self._api.release(self.name, machine_id, nonce)
        except ProviderError:
            pass  # it ends by itself

    def config_of(self, name: str) -> Mapping[str, Any]:
        """What its machine of that name is to be; empty if there is none, or that is not known."""
        machine = self._named(name) if self.is_there() else None
        return {} if machine is None else machine.config or {}

    def wait_started(self, machine: Machine, for_s: float = _START_S) -> None:
        """Wait until a machine has started as it was last asked to be.

        Raises:
            ProviderError: it has ended instead, or has not started within that time.
        """
        until = self._api.clock.monotonic() + for_s
        while (left_s := until - self._api.clock.monotonic()) > 0:
            try:
                self._api.wait(self.name, machine.id, machine.instance_id, "started", left_s)
            except ProviderError as error:  # which proves nothing: the machine itself is looked at
                if _is_final(error):
                    raise
                state = self._state(machine.id)
                if state in _OVER:
                    raise self._not_started(machine, f"is {state}") from None
                self._api.clock.sleep(1.0)
            else:
                return
        raise self._not_started(machine, f"has not started within {for_s:g} s")

    def _state(self, machine_id: str) -> str:
        try:
            return self._api.machine(self.name, machine_id).state
        except Refusal as error:
            if is_missing(error):
                return "destroyed"
            raise

    def _not_started(self, machine: Machine, why: str) -> ProviderError:
        said = self.logs(machine.id).strip()
        shown = f"; the last that it has printed:\n{said[-2000:]}" if said else ""
        return ProviderError(f"fly: machine {machine.id} {why}{shown}", provider="fly")

    def logs(self, machine_id: str) -> str:
        """The last lines of a machine; empty if they cannot be had."""
        try:
            return self._api.logs(self.name, machine_id)
        except ProviderError:
            return ""

    # --- the end ---------------------------------------------------------------------------------

    def left(self) -> list[str]:
        """What the app still has that is paid for, for people: read, and not remembered."""
        if not self.is_there():
            return []
        machines = [it for it in self._api.machines(self.name) if not it.is_gone]
        told = [f"machine {it.id} ({it.name}, {it.state})" for it in machines]
        return (
            told
            + [
                f"volume {its['id']} ({its.get('name')}, {its.get('size_gb')} GB)"
                for its in self._volumes()
            ]
            + _told(_own_ipv4(self._addresses()))
        )

    def destroy_all(self, for_s: float = 120.0, *, keep_volumes: bool = False) -> list[str]:
        """Have all of it go; gives what is there nevertheless when the time is over.

        With `keep_volumes` the disks stay, and the app with them.
        """
        until = self._api.clock.monotonic() + for_s
        while self.is_there():
            left = self._destroy_once(keep_volumes=keep_volumes)
            if not left and keep_volumes:
                return []
            if self._api.clock.monotonic() > until:
                return [*left, f"app {self.name}"]
            self._api.clock.sleep(_PAUSE_S)
        return []

    def _destroy_once(self, *, keep_volumes: bool) -> list[str]:
        """A volume goes after its machine, and the app after its volumes and what is paid for."""
        machines = [it for it in self._api.machines(self.name) if not it.is_gone]
        for machine in machines:
            self._try(lambda its=machine: self._api.destroy_machine(self.name, its.id))
        volumes: Sequence[Mapping[str, Any]] = () if keep_volumes else self._volumes()
        for its in volumes if not machines else ():
            self._try(lambda one=its: self._api.destroy_volume(self.name, str(one["id"])))
        addresses = _own_ipv4(self._addresses())
        for its in addresses:
            self._try(lambda one=its: self._give_back(one))
        if not machines and not volumes and not addresses and not keep_volumes:
            self._try(lambda: self._api.delete_app(self.name))
        left = [f"machine {it.id} ({it.name}, {it.state})" for it in machines]
        left += [f"volume {its['id']} ({its.get('name')})" for its in volumes]
        return left + _told(addresses)

    def _try(self, remove: Callable[[], object]) -> None:
        """What cannot be removed now is removed at the next round, or told of at the end."""
        try:
            remove()
        except (Refusal, Busy):
            pass


def _own_ipv4(addresses: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that nobody else has: they are paid for."""
    return [its for its in addresses if "." in str(its.get("ip")) and not its.get("shared")]


def _is_public_ipv6(address: Mapping[str, Any]) -> bool:
    ip = str(address.get("ip"))
    return ":" in ip and not ip.startswith(_PRIVATE) and not address.get("egress")


def _told(addresses: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"address {its['ip']} (an IPv4 of its own)" for its in addresses]


def _is_final(error: ProviderError) -> bool:
    """Whether waiting again would be answered alike."""
    if not isinstance(error, Refusal):
        return isinstance(error, Blocked)
    is_ours = error.data["status"] < 500  # noqa: PLR2004 - of HTTP
    return is_ours and not (has_timed_out(error) or is_missing(error))


def _summed(config: Mapping[str, Any], secrets: str) -> dict[str, Any]:
    """The config, with what it and its secrets are recognised by."""
    metadata = {**config.get("metadata", {}), _SUM: _digest([config, secrets])}
    return {**config, "metadata": metadata}


def _digest(told: Any) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


def _is_as_asked(machine: Machine, asked: Mapping[str, Any]) -> bool:
    is_same = machine.metadata.get(_SUM) == asked["metadata"][_SUM]
    return is_same and machine.state not in _OVER
