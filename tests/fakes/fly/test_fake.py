"""The fake has the traps that the documents and others tell of."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.fly.fake import FakeFly
from tests.fakes.running import start
from tests.unit.backends.providers.clocks import Time

GUEST = {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}
APP = "/v1/apps/an-app"
MACHINES = f"{APP}/machines"


class Asks:
    """The fake, asked without a line between."""

    def __init__(self, fake: FakeFly, time: Time) -> None:
        self.fake, self.time = fake, time
        self.post("/v1/apps", {"name": "an-app", "org_slug": fake.org})

    def ask(
        self, method: str, path: str, body: Any = None, nonce: str = "", token: str = ""
    ) -> tuple[int | None, Any]:
        headers = {"authorization": f"Bearer {token or self.fake.token}"}
        if nonce:
            headers["fly-machine-lease-nonce"] = nonce
        path, _, query = path.partition("?")
        content = b"" if body is None else json.dumps(body).encode()
        reply = self.fake.handle(method, path, query, headers, content)
        return reply.status, reply.body

    def get(self, path: str) -> tuple[int | None, Any]:
        return self.ask("GET", path)

    def post(self, path: str, body: Any = None, nonce: str = "") -> tuple[int | None, Any]:
        return self.ask("POST", path, body, nonce)

    def machine(self, name: str = "one", **config: Any) -> dict[str, Any]:
        told = {"image": "a", "guest": GUEST, **config}
        status, machine = self.post(MACHINES, {"name": name, "region": "iad", "config": told})
        assert status == 200, machine
        return machine


@pytest.fixture
def asks() -> Iterator[Asks]:
    time = Time()
    fake = FakeFly(now=time.clock.now, sleep=time.clock.sleep)
    yield Asks(fake, time)
    fake.close()


def test_what_the_document_does_not_know_is_refused_and_remembered(asks: Asks) -> None:
    assert asks.get("/v1/nothing")[0] == 404
    assert asks.post(MACHINES, {"config": {"image": "a", "vm": {}}})[0] == 400
    assert len(asks.fake.violations) == 2


def test_a_token_is_wanted(asks: Asks) -> None:
    assert asks.ask("GET", MACHINES, token="another")[0] == 401


def test_a_new_app_is_not_known_at_once(asks: Asks) -> None:
    asks.fake.state.app_unknown_for = 2
    asks.post("/v1/apps", {"name": "another", "org_slug": asks.fake.org})

    assert [asks.get("/v1/apps/another")[0] for _ in range(3)] == [404, 404, 200]


def test_names_of_apps_are_those_of_everybody(asks: Asks) -> None:
    asks.fake.state.foreign.add("theirs")
    status, told = asks.post("/v1/apps", {"name": "theirs", "org_slug": asks.fake.org})

    assert (status, told["status"]) == (422, "name_taken")
    assert asks.get("/v1/apps/theirs")[0] == 403


def test_a_machine_is_created_first_and_starts_later(asks: Asks) -> None:
    asks.fake.state.start_s = 10
    machine = asks.machine()
    assert machine["state"] == "created"
    assert asks.get(f"{MACHINES}/{machine['id']}")[1]["state"] == "created"

    asks.time.sleep(11)

    assert asks.get(f"{MACHINES}/{machine['id']}")[1]["state"] == "started"


def test_a_name_is_taken_once(asks: Asks) -> None:
    asks.machine()

    assert asks.post(MACHINES, {"name": "one", "config": {"image": "a", "guest": GUEST}})[0] == 409


def test_a_wait_ends_with_its_time_and_takes_no_more_than_a_minute(asks: Asks) -> None:
    asks.fake.state.start_s = 70
    path = f"{MACHINES}/{asks.machine()['id']}/wait?state=started&timeout="

    assert asks.get(f"{path}61")[0] == 400
    assert asks.get(f"{path}0")[0] == 400
    assert asks.get(f"{path}60")[0] == 408
    assert asks.get(f"{path}60")[0] == 200


def test_an_update_is_all_of_the_config_and_another_instance(asks: Asks) -> None:
    machine = asks.machine(metadata={"a": "b"})
    path = f"{MACHINES}/{machine['id']}"
    asks.fake.state.start_s = 100
    status, updated = asks.post(path, {"config": {"image": "b", "guest": GUEST}})

    assert status == 200
    assert "metadata" not in updated["config"]
    assert updated["instance_id"] != machine["instance_id"]
    old = f"{path}/wait?timeout=1&instance_id={machine['instance_id']}"
    assert asks.get(old)[0] == 408
    assert asks.get(f"{path}/wait?timeout=1")[0] == 200  # as what it was before
    stale = {"config": {"image": "c", "guest": GUEST}, "current_version": machine["instance_id"]}
    assert asks.post(path, stale)[0] == 412


def test_a_lease_keeps_others_out_until_it_ends(asks: Asks) -> None:
    path = f"{MACHINES}/{asks.machine()['id']}"
    status, told = asks.post(f"{path}/lease", {"ttl": 30})
    nonce = told["data"]["nonce"]
    body = {"config": {"image": "b", "guest": GUEST}}

    assert status == 201
    assert asks.post(path, body)[0] == 409
    assert asks.post(f"{path}/lease", {"ttl": 30})[0] == 409
    assert asks.post(path, body, nonce)[0] == 200
    asks.time.sleep(31)
    assert asks.post(path, body)[0] == 200
    assert asks.post(path, body, nonce)[0] == 404  # it is over


def test_whoever_asks_too_often_is_told_so() -> None:
    time = Time()
    fake = FakeFly(now=time.clock.now, sleep=time.clock.sleep, is_limited=True)
    asks = Asks(fake, time)
    machine = asks.machine()["id"]

    assert [asks.get(MACHINES)[0] for _ in range(4)] == [200, 200, 200, 429]
    assert [asks.get(f"{MACHINES}/{machine}")[0] for _ in range(11)] == [200] * 10 + [429]
    time.sleep(1)
    assert asks.get(MACHINES)[0] == 200


def test_a_volume_is_one_machines_and_goes_after_it(asks: Asks) -> None:
    volume = asks.post(f"{APP}/volumes", {"name": "d", "region": "iad", "size_gb": 1})[1]["id"]
    mounts = [{"volume": volume, "path": "/d"}]
    machine = asks.machine(mounts=mounts)["id"]
    told = {"image": "a", "guest": GUEST, "mounts": mounts}

    assert asks.post(MACHINES, {"region": "iad", "config": told})[0] == 412
    assert asks.ask("DELETE", f"{APP}/volumes/{volume}")[0] == 412
    assert asks.ask("DELETE", f"{MACHINES}/{machine}?force=true")[0] == 200
    assert asks.post(MACHINES, {"region": "ams", "config": told})[0] == 400
    assert asks.ask("DELETE", f"{APP}/volumes/{volume}")[0] == 200
    bad = {"name": "Bad-Name", "region": "iad", "size_gb": 1}
    assert asks.post(f"{APP}/volumes", bad)[0] == 400


def test_a_program_runs_only_in_a_machine_that_has_started_and_only_for_a_minute(
    asks: Asks,
) -> None:
    asks.fake.state.start_s = 10
    path = f"{MACHINES}/{asks.machine()['id']}/exec"

    assert asks.post(path, {"command": ["true"], "timeout": 61})[0] == 400
    assert asks.post(path, {"command": ["true"]})[0] == 412
    asks.time.sleep(11)
    assert asks.post(path, {"command": ["true"]})[1]["exit_code"] == 0
    long = asks.post(path, {"command": ["sh", "-c", "x" * 16_000]})
    assert (long[0], long[1]["exit_code"]) == (200, 0)  # it was not run at all
    assert "Rejection([" in long[1]["stderr"]


def test_a_summary_lacks_what_is_long(asks: Asks) -> None:
    asks.machine()

    assert "config" in asks.get(MACHINES)[1][0]
    assert "config" not in asks.get(f"{MACHINES}?summary=true")[1][0]


def test_machines_are_found_by_what_they_are_marked_with(asks: Asks) -> None:
    asks.machine("one", metadata={"a": "1"})
    two = asks.machine("two", metadata={"a": "2"})["id"]
    assert [it["name"] for it in asks.get(f"{MACHINES}?metadata.a=2")[1]] == ["two"]

    assert asks.post(f"{MACHINES}/{two}/metadata/a", {"value": "3"})[0] == 204
    assert asks.get(f"{MACHINES}?metadata.a=2")[1] == []


def test_a_page_of_the_organisation_may_be_empty_although_more_follows(asks: Asks) -> None:
    asks.machine()
    path = f"/v1/orgs/{asks.fake.org}/machines"
    first = asks.get(path)[1]

    assert (first["machines"], first["next_cursor"]) == ([], "1")
    assert len(asks.get(f"{path}?cursor=1")[1]["machines"]) == 1


def test_regions_are_told_in_a_spelling_of_their_own(asks: Asks) -> None:
    assert "Regions" in asks.get("/v1/platform/regions")[1]


def test_secrets_have_versions_that_a_machine_may_wait_for(asks: Asks) -> None:
    version = asks.post(f"{APP}/secrets", {"values": {"A": "1", "B": None}})[1]["version"]
    body = {"config": {"image": "a", "guest": GUEST}, "min_secrets_version": version + 1}

    assert asks.post(MACHINES, body)[0] == 412
    assert asks.post(MACHINES, {**body, "min_secrets_version": version})[0] == 200


def test_a_shared_address_takes_no_region(asks: Asks) -> None:
    path = f"{APP}/ip_assignments"

    assert asks.post(path, {"type": "shared_v4", "region": "iad"})[0] == 400
    assert asks.post(path, {"type": "shared_v4"})[0] == 200


def test_of_a_machine_whose_host_is_silent_the_config_is_not_told(asks: Asks) -> None:
    machine = asks.machine(metadata={"a": "b"})["id"]
    asks.fake.lose_host(machine)
    told = asks.get(f"{MACHINES}/{machine}")[1]

    assert told["host_status"] == "unreachable"
    assert "config" not in told
    assert told["incomplete_config"] == {"metadata": {"a": "b"}}


def test_a_lost_reply_has_had_its_effect_and_a_broken_call_has_none(asks: Asks) -> None:
    asks.fake.faults.next("create", lose_reply=True)
    asks.fake.faults.next("create", broken=True)
    body = {"config": {"image": "a", "guest": GUEST}}

    assert asks.post(MACHINES, body)[0] is None
    assert asks.post(MACHINES, body)[0] == 500
    assert len(asks.fake.machines) == 1


def test_a_program_that_ends_is_told_with_its_code_and_restarted_unless_that_was_said(
    tmp_path: Path,
) -> None:
    time = Time()
    fake = FakeFly(tmp_path, now=time.clock.now, sleep=time.clock.sleep)
    asks = Asks(fake, time)
    ends = {"init": {"exec": [sys.executable, "-c", "raise SystemExit(3)"]}}
    once = asks.machine("once", **ends, restart={"policy": "no"})["id"]
    gone = asks.machine("gone", **ends, restart={"policy": "no"}, auto_destroy=True)["id"]
    again = asks.machine("again", **ends)["id"]
    for machine in [*fake.machines]:
        assert machine.program is not None
        machine.program.wait(20)

    told = asks.get(f"{MACHINES}/{once}")[1]
    assert told["state"] == "stopped"
    assert told["events"][0]["request"]["exit_event"]["guest_exit_code"] == 3
    assert asks.get(f"{MACHINES}/{gone}")[0] == 404
    assert asks.get(f"{MACHINES}/{again}")[1]["state"] == "started"
    fake.close()


FORKS = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    print(os.getpid(), flush=True)
    time.sleep(600)
time.sleep(600)
"""


def test_a_machine_goes_with_all_that_it_has_started(tmp_path: Path) -> None:
    program = start([sys.executable, "-c", FORKS], {}, tmp_path / "machine")
    for _ in range(3000):
        if program.output().endswith("\n"):
            break
        threading.Event().wait(0.01)

    program.kill()

    other = int(program.output())
    assert program.poll() is not None
    assert not _is_alive(other)


def _is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
