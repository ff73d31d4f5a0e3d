"""The calls of Fly's Machines API that are used, one method each: they decide nothing.

Each raises what `Speaker.call` does, with refusals as `refusals.meant` has them, except for
`Refusal`s that mean nothing special.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

from apothic_backends.model.errors import UsageError
from apothic_backends.providers.fly.machines import Machine, machine_of, machines_of
from apothic_backends.providers.fly.refusals import meant
from apothic_backends.providers.http import Clock, Limit, Refusal, Speaker, as_told
from apothic_backends.providers.reading import a_list, an_object, number, text

T = TypeVar("T")

URL: Final = "https://api.machines.dev"
LOGS_URL: Final = "https://api.fly.io"

LONGEST_WAIT_S: Final = 60
"""The longest that the API waits for anything in one call."""

_USUAL: Final = Limit(1.0, 3)
"""What Fly lets through of each action for each thing."""

LIMITS: Final = {
    **dict.fromkeys(
        ("create", "list", "update", "destroy", "lease", "wait", "volume", "secret", "address"),
        _USUAL,
    ),
    "get": Limit(0.2, 10),
    "app": _USUAL,
}

_MACAROONS: Final = ("fm1r_", "fm1a_", "fm2_")


def authorization(token: str) -> str:
    """The header for a token, which people write with or without the word before it.

    Raises:
        UsageError: there is none.
    """
    words = token.strip().split(None, 1)
    if words and words[0].lower() in ("flyv1", "bearer"):
        words = words[1:]
    parts = [part.strip() for part in "".join(words).split(",") if part.strip()]
    macaroons = [part for part in parts if part.startswith(_MACAROONS)]
    if not parts:
        raise UsageError("there is no token for Fly: set FLY_API_TOKEN (`fly tokens create org`)")
    return f"FlyV1 {','.join(macaroons)}" if macaroons else f"Bearer {parts[0]}"


def _its(name: str) -> str:
    """A name as a part of a path."""
    return quote(name, safe="")


class FlyApi:
    """The API for one organisation; any thread may call."""

    def __init__(self, token: str, org: str, *, url: str = URL, clock: Clock | None = None) -> None:
        headers = {"authorization": authorization(token)}
        self.org, self.clock = org, clock or Clock()
        self._speaker = Speaker("fly", url, headers, LIMITS, clock=clock)
        logs_url = LOGS_URL if url == URL else url
        self._logs = Speaker("fly", logs_url, headers, {"logs": _USUAL}, clock=clock)

    def close(self) -> None:
        """Hang up."""
        self._speaker.close()
        self._logs.close()

    def _call(self, method: str, path: str, read: Callable[[Any], T], **how: Any) -> T:
        try:
            return self._speaker.call(method, f"/v1{path}", read=read, **how)
        except Refusal as error:
            raise meant(error) from None

    # --- apps ------------------------------------------------------------------------------------

    def apps(self) -> list[str]:
        """The names of all apps of the organisation."""
        query = {"org_slug": self.org}
        return self._call("GET", "/apps", _names_of, query=query, action="list", key="apps")

    def app(self, name: str) -> Mapping[str, Any]:
        """What is known of an app."""
        return self._call("GET", f"/apps/{_its(name)}", an_object, action="app", key=name)

    def create_app(self, name: str) -> None:
        """Make one; it may take a while until all of Fly knows of it."""
        body = {"name": name, "org_slug": self.org}
        how: dict[str, Any] = {"changes": True, "may_be_empty": True}
        self._call("POST", "/apps", as_told, body=body, action="app", key=name, **how)

    def delete_app(self, name: str) -> None:
        """Have it go with all that it has; its name is taken for some time after that."""
        self._remove(f"/apps/{_its(name)}", action="app", key=name)

    def _remove(self, path: str, *, headers: Mapping[str, str] | None = None, **at: str) -> None:
        """Take something away, which is safe to repeat."""
        query = {"force": "true"} if at["action"] in ("app", "destroy") else None
        self._call("DELETE", path, as_told, query=query, may_be_empty=True, headers=headers, **at)

    # --- machines --------------------------------------------------------------------------------

    def machines(self, app: str) -> list[Machine]:
        """All machines of an app."""
        path = f"/apps/{_its(app)}/machines"
        return self._call("GET", path, machines_of, action="list", key=app, is_private=True)

    def machine(self, app: str, machine_id: str) -> Machine:
        """One of them."""
        path = f"/apps/{_its(app)}/machines/{_its(machine_id)}"
        return self._call("GET", path, machine_of, action="get", key=machine_id, is_private=True)

    def create_machine(self, app: str, body: Any, hidden: Iterable[str] = ()) -> Machine:
        """Make one, and have it start."""
        path = f"/apps/{_its(app)}/machines"
        how: dict[str, Any] = {"changes": True, "is_private": True, "hidden": hidden}
        return self._call("POST", path, machine_of, body=body, action="create", key=app, **how)

    def update_machine(
        self, app: str, machine_id: str, body: Any, nonce: str, hidden: Iterable[str] = ()
    ) -> Machine:
        """Have it be something else, all of it; it is started anew on the computer where it is."""
        path = f"/apps/{_its(app)}/machines/{_its(machine_id)}"
        how: dict[str, Any] = {"changes": True, "is_private": True, "hidden": hidden}
        how |= {"headers": _leased(nonce), "action": "update", "key": machine_id}
        return self._call("POST", path, machine_of, body=body, **how)

    def destroy_machine(self, app: str, machine_id: str) -> None:
        """Have it go, whatever it does."""
        path = f"/apps/{_its(app)}/machines/{_its(machine_id)}"
        self._remove(path, action="destroy", key=machine_id)

    def wait(self, app: str, machine_id: str, instance_id: str, state: str, for_s: float) -> None:
        """Wait for a machine to be in a state, at most a minute.

        Raises:
            Refusal: it is not, or not yet.
        """
        timeout = max(1, min(LONGEST_WAIT_S, int(for_s)))
        query = {"state": state, "timeout": timeout, "instance_id": instance_id}
        path = f"/apps/{_its(app)}/machines/{_its(machine_id)}/wait"
        how: dict[str, Any] = {"query": query, "may_be_empty": True, "timeout_s": timeout + 15}
        self._call("GET", path, as_told, action="wait", key=machine_id, **how)

    def lease(self, app: str, machine_id: str, ttl_s: int) -> str:
        """Keep others from changing a machine; gives what changes it nevertheless."""
        path = f"/apps/{_its(app)}/machines/{_its(machine_id)}/lease"
        how: dict[str, Any] = {"changes": True, "is_private": True, "body": {"ttl": ttl_s}}
        return self._call("POST", path, _nonce_of, action="lease", key=machine_id, **how)

    def release(self, app: str, machine_id: str, nonce: str) -> None:
        """Let others change it again."""
        path = f"/apps/{_its(app)}/machines/{_its(machine_id)}/lease"
        self._remove(path, headers=_leased(nonce), action="lease", key=machine_id)

    # --- what else an app has --------------------------------------------------------------------

    def set_secrets(self, app: str, values: Mapping[str, str]) -> int:
        """Set some; gives the version from which on they are what machines that start get."""
        how: dict[str, Any] = {"body": {"values": values}, "hidden": [*values.values()]}
        how |= {"is_private": True, "action": "secret", "key": app}
        return self._call("POST", f"/apps/{_its(app)}/secrets", _version_of, **how)

    def volumes(self, app: str) -> list[dict[str, Any]]:
        """All that it has."""
        path = f"/apps/{_its(app)}/volumes"
        return self._call("GET", path, _volumes_of, action="list", key=f"{app} volumes")

    def create_volume(self, app: str, body: Mapping[str, Any]) -> str:
        """Make one; gives its id."""
        how: dict[str, Any] = {"body": body, "changes": True, "action": "volume", "key": app}
        return self._call("POST", f"/apps/{_its(app)}/volumes", _id_of, **how)

    def extend_volume(self, app: str, volume_id: str, size_gb: int) -> None:
        """Make one larger; what runs sees that after a start of its machine."""
        path = f"/apps/{_its(app)}/volumes/{_its(volume_id)}/extend"
        how: dict[str, Any] = {"body": {"size_gb": size_gb}, "changes": True, "key": volume_id}
        self._call("PUT", path, as_told, action="volume", may_be_empty=True, **how)

    def destroy_volume(self, app: str, volume_id: str) -> None:
        """Have it go, with what is on it."""
        self._remove(f"/apps/{_its(app)}/volumes/{_its(volume_id)}", action="volume", key=volume_id)

    def addresses(self, app: str) -> list[dict[str, Any]]:
        """Those at which it can be reached."""
        path = f"/apps/{_its(app)}/ip_assignments"
        return self._call("GET", path, _addresses_of, action="list", key=f"{app} addresses")

    def add_address(self, app: str, kind: str) -> None:
        """Give it one: "v6", "shared_v4", or "v4", which is paid for."""
        how: dict[str, Any] = {"changes": True, "may_be_empty": True}
        how |= {"body": {"type": kind}, "action": "address", "key": app}
        self._call("POST", f"/apps/{_its(app)}/ip_assignments", as_told, **how)

    def remove_address(self, app: str, ip: str) -> None:
        """Give one back."""
        path = f"/apps/{_its(app)}/ip_assignments/{_its(ip)}"
        self._remove(path, action="address", key=app)

    def logs(self, app: str, machine_id: str) -> str:
        """The last lines of a machine; the API for them has no document, and may be gone."""
        path = f"/api/v1/apps/{_its(app)}/logs"
        how: dict[str, Any] = {"query": {"instance": machine_id}, "action": "logs", "key": app}
        return self._logs.call("GET", path, read=_lines_of, **how)


def _leased(nonce: str) -> dict[str, str]:
    return {"fly-machine-lease-nonce": nonce} if nonce else {}


def _names_of(told: Any) -> list[str]:
    apps = a_list(an_object(told).get("apps"), "the apps")
    return [text(an_object(one, "an app"), "name") for one in apps]


def _nonce_of(told: Any) -> str:
    """It is told in an object of its own, or not: both were seen."""
    its = an_object(told)
    return text(an_object(its.get("data") or its), "nonce")


def _version_of(told: Any) -> int:
    its = an_object(told)
    return int(number(its, "version" if "version" in its else "Version"))


def _volumes_of(told: Any) -> list[dict[str, Any]]:
    return [an_object(one, "a volume") for one in a_list(told, "the volumes")]


def _addresses_of(told: Any) -> list[dict[str, Any]]:
    return [an_object(one) for one in a_list(an_object(told).get("ips"), "its ips")]


def _id_of(told: Any) -> str:
    return text(an_object(told), "id")


def _lines_of(told: Any) -> str:
    lines = [
        an_object(an_object(one).get("attributes")) for one in a_list(an_object(told).get("data"))
    ]
    return "".join(f"{text(line, 'message', '')}\n" for line in lines)
