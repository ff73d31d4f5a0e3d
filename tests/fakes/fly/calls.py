"""What each call of the document does; `Failed` is an answer that is an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.fakes.fly.apps import App
from tests.fakes.fly.faults import Fault
from tests.fakes.fly.machines import Machine
from tests.fakes.fly.state import Failed, State
from tests.fakes.serving import Reply


class Call:
    """One request that the document knows of."""

    def __init__(
        self,
        places: Mapping[str, str],
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Any,
        fault: Fault,
    ) -> None:
        self.places, self.query, self.headers = places, query, headers
        self.body, self.fault = body, fault

    @property
    def nonce(self) -> str:
        return self.headers.get("fly-machine-lease-nonce", "")


OLDEST_S = 110.0
"""How old a list may be that is told."""

Answers = Callable[[State, Call], Reply]


def _app(state: State, call: Call) -> App:
    return state.app(call.places["app_name"])


def _machine(state: State, call: Call) -> Machine:
    return state.machine(_app(state, call), call.places["machine_id"])


# --- apps ---


def app_list(state: State, call: Call) -> Reply:
    apps = [it for it in state.apps.values() if it.org == call.query.get("org_slug")]
    told = [{"id": f"id-{it.name}", "name": it.name, "machine_count": 0} for it in apps]
    return Reply(200, {"total_apps": len(told), "apps": told})


def app_create(state: State, call: Call) -> Reply:
    state.create_app(call.body["name"], call.body["org_slug"])
    return Reply(201)  # older servers say nothing


def app_get(state: State, call: Call) -> Reply:
    return Reply(200, _app(state, call).told())


def app_delete(state: State, call: Call) -> Reply:
    app = _app(state, call)
    if call.query.get("force") != "true" and app.there:
        raise Failed(412, "app has machines")
    for machine in app.there:
        state.destroy(app, machine)
    state.apps.pop(app.name)
    return Reply(202)


# --- machines ---


def list_(state: State, call: Call) -> Reply:
    machines = _app(state, call).there
    if call.fault.get("stale"):
        machines = [it for it in machines if it.made_at < state.now() - OLDEST_S]
    summary = call.query.get("summary") == "true"
    wanted = {
        name.removeprefix("metadata."): value
        for name, value in call.query.items()
        if name.startswith("metadata.")
    }
    told = [
        it.told(summary=summary)
        for it in machines
        if wanted.items() <= it.config.get("metadata", {}).items()
    ]
    return Reply(200, told)


def create(state: State, call: Call) -> Reply:
    app, body = _app(state, call), call.body
    state.check_image(body["config"]["image"])
    if body.get("name") in {it.name for it in app.there}:
        raise Failed(409, f"already_exists: unique machine name violation, {body['name']} exists")
    state.check_secrets(app, body)
    asked = "" if call.fault.get("full") else body.get("region") or "iad"
    region = state.placed(asked, body["config"])
    machine = Machine(app.name, body, region, state.now())
    state.claim(app, machine)
    machine.fate = call.fault.get("fate", "")
    if not body.get("skip_launch") and machine.fate != "hangs":
        machine.due = state.now() + state.start_s
    app.machines[machine.id] = machine
    told = machine.told()
    if body.get("lease_ttl"):
        told["nonce"] = state.lease(machine, body["lease_ttl"])
    return Reply(200, told)


def get(state: State, call: Call) -> Reply:
    return Reply(200, _machine(state, call).told())


def update(state: State, call: Call) -> Reply:
    app, machine, body = _app(state, call), _machine(state, call), call.body
    state.check_lease(machine, call.nonce)
    if body.get("current_version") not in (None, machine.instance_id):
        raise Failed(412, "machine version mismatch")
    state.check_secrets(app, body)
    if machine.region in state.full_hosts:
        raise Failed(409, "insufficient memory available on the machine's host")
    machine.stop(state.now())
    app.release_volumes(machine.id)
    machine.config = {**body["config"]}
    state.claim(app, machine)
    machine.change("created", state.now(), "update")
    machine.asked_again(state.now())
    machine.due = None if body.get("skip_launch") else state.now() + state.start_s
    return Reply(200, machine.told())


def destroy(state: State, call: Call) -> Reply:
    app, machine = _app(state, call), _machine(state, call)
    state.check_lease(machine, call.nonce)
    if machine.state == "started" and call.query.get("force") != "true":
        raise Failed(412, "failed_precondition: unable to destroy machine, not currently stopped")
    if not call.fault.get("stubborn"):
        state.destroy(app, machine)
    return Reply(200, {"ok": True})


def start(state: State, call: Call) -> Reply:
    machine = _machine(state, call)
    state.check_lease(machine, call.nonce)
    previous = machine.state
    if previous in ("stopped", "created", "failed"):
        machine.state, machine.due = "created", state.now()
    return Reply(200, {"previous_state": previous, "migrated": False, "new_host": ""})


def stop(state: State, call: Call) -> Reply:
    machine = _machine(state, call)
    state.check_lease(machine, call.nonce)
    machine.stop(state.now())
    return Reply(200, {"ok": True})


def exec_(state: State, call: Call) -> Reply:
    machine = _machine(state, call)
    if call.body.get("timeout", 0) > 60:
        raise Failed(400, "timeout must not exceed 60 seconds")
    if machine.state != "started":
        raise Failed(412, "failed_precondition: machine not running")
    told: dict[str, Any] = {"exit_code": 0, "exit_signal": 0, "stdout": "", "stderr": ""}
    if sum(map(len, call.body.get("command", []))) > 15_000:
        told["stderr"] = "Rejection([PayloadTooLarge])"
    return Reply(200, told)


def metadata_get(state: State, call: Call) -> Reply:
    return Reply(200, _machine(state, call).config.get("metadata", {}))


def metadata_set(state: State, call: Call) -> Reply:
    machine = _machine(state, call)
    machine.config.setdefault("metadata", {})[call.places["key"]] = call.body["value"]
    return Reply(204)


def lease(state: State, call: Call) -> Reply:
    machine = _machine(state, call)
    if machine.host_status != "ok":
        raise Failed(408, "the host does not answer")
    state.check_lease(machine, call.nonce, is_release=bool(call.nonce))
    ttl = int(call.query.get("ttl") or (call.body or {}).get("ttl", 13))
    nonce = state.lease(machine, ttl)
    told = {"nonce": nonce, "expires_at": int(machine.leased_until), "owner": "us@tokens.fly.io"}
    return Reply(201, {"status": "success", "data": told})


def release(state: State, call: Call) -> Reply:
    machine = _machine(state, call)
    state.check_lease(machine, call.nonce, is_release=True)
    machine.nonce = ""
    return Reply(200, {"status": "success", "data": {"ok": True}})


def org_list(state: State, call: Call) -> Reply:
    if call.places["org_slug"] != state.org:
        raise Failed(404, "organization not found")
    told = [
        {**it.told(summary=True), "app_name": app.name, "config": {"metadata": _marks(it)}}
        for app in state.apps.values()
        for it in app.there
    ]
    at = int(call.query.get("cursor") or 0)
    if at == 0 and told:
        return Reply(200, {"machines": [], "next_cursor": "1", "error_regions": []})
    return Reply(200, {"machines": told, "next_cursor": "", "error_regions": state.dark_regions})


def _marks(machine: Machine) -> dict[str, str]:
    return machine.config.get("metadata", {})


# --- the rest ---


def volume_list(state: State, call: Call) -> Reply:
    return Reply(200, [*_app(state, call).volumes.values()])


def volume_create(state: State, call: Call) -> Reply:
    app = _app(state, call)
    if not re.fullmatch(r"[a-z0-9_]{1,30}", call.body["name"]):
        raise Failed(
            400,
            "name only allows lowercase alphanumeric characters and underscores with at most 30",
        )
    if call.body["region"] in state.full_regions:
        raise Failed(400, "no capacity")
    return Reply(200, app.add_volume(call.body))


def volume_extend(state: State, call: Call) -> Reply:
    volume = _app(state, call).volumes.get(call.places["volume_id"])
    if volume is None:
        raise Failed(404, "volume not found")
    if call.body["size_gb"] <= volume["size_gb"]:
        raise Failed(422, "volumes can only be made larger")
    volume["size_gb"] = call.body["size_gb"]
    return Reply(200, {"volume": volume, "needs_restart": True})


def volume_destroy(state: State, call: Call) -> Reply:
    app = _app(state, call)
    volume = app.volumes.get(call.places["volume_id"])
    if volume is None:
        raise Failed(404, "volume not found")
    if volume["attached_machine_id"]:
        raise Failed(412, f"volume is attached to machine {volume['attached_machine_id']}")
    del app.volumes[volume["id"]]
    return Reply(200, {**volume, "state": "pending_destroy"})


def secret_list(state: State, call: Call) -> Reply:
    told = [{"name": name, "digest": "0" * 16} for name in _app(state, call).secrets]
    return Reply(200, {"secrets": told})


def secret_set(state: State, call: Call) -> Reply:
    app = _app(state, call)
    for name, value in call.body["values"].items():
        if value is None:
            app.secrets.pop(name, None)
        else:
            app.secrets[name] = value
    app.secrets_version += 1
    told = {"version": app.secrets_version, "Version": app.secrets_version}
    return Reply(200, {**told, "secrets": [{"name": name} for name in app.secrets]})


def address_list(state: State, call: Call) -> Reply:
    return Reply(200, {"ips": _app(state, call).addresses})


def address_add(state: State, call: Call) -> Reply:
    if call.body["type"] == "shared_v4" and "region" in call.body:
        raise Failed(400, "region selection is not supported for this IP type")
    app, kind = _app(state, call), call.body["type"]
    if kind == "shared_v4" and app.has_own_ipv4:
        raise Failed(422, "app already has a dedicated IPv4 address")
    return Reply(200, app.add_address(kind))


def address_remove(state: State, call: Call) -> Reply:
    app = _app(state, call)
    left = [it for it in app.addresses if it["ip"] != call.places["ip"]]
    if len(left) == len(app.addresses):
        raise Failed(404, "IP address not found")
    app.addresses = left if not call.fault.get("stubborn") else app.addresses
    return Reply(204)


def regions(state: State, call: Call) -> Reply:
    return Reply(200, {"Regions": [{"code": "iad"}, {"code": "ams"}], "Nearest": "iad"})


def logs(state: State, call: Call) -> Reply:
    app, wanted = state.apps.get(call.places["app_name"]), call.query.get("instance")
    if app is None:
        raise Failed(401, "unauthorized")
    lines = [
        (it.id, line)
        for it in (*app.machines.values(), *state.gone)
        if it.app == app.name and it.program is not None and wanted in (None, it.id)
        for line in it.program.output().splitlines()
    ]
    told = [{"id": "1", "attributes": {"message": line, "instance": of}} for of, line in lines]
    return Reply(200, {"data": told[-100:], "meta": {"next_token": "1"}})


CALLS: dict[str, Answers] = {
    **{it.__name__.rstrip("_"): it for it in (app_list, app_create, app_get, app_delete)},
    **{it.__name__.rstrip("_"): it for it in (list_, create, get, update, destroy, start, stop)},
    **{it.__name__.rstrip("_"): it for it in (exec_, metadata_get, metadata_set, lease, release)},
    **{it.__name__: it for it in (org_list, volume_list, volume_create, volume_destroy)},
    volume_extend.__name__: volume_extend,
    **{it.__name__: it for it in (secret_list, secret_set, address_list, address_add)},
    address_remove.__name__: address_remove,
    **{it.__name__: it for it in (regions, logs)},
}
"""All but `wait`, which takes its time, by `operationId`."""
