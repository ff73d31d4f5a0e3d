from __future__ import annotations

import gzip
import json
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apothic_backends.model.errors import UsageError
from apothic_backends.providers.base import Blocked, NoCapacity, ProviderError, Unclear
from apothic_backends.providers.fly.api import FlyApi
from apothic_backends.providers.fly.app import FlyApp
from apothic_backends.providers.fly.disks import Disk
from apothic_backends.providers.fly.registry import find, push
from apothic_backends.providers.fly.sizes import Guest
from tests.fakes.fly.fake import FakeFly
from tests.fakes.fly.images import saved
from tests.providers.fly import faked
from tests.unit.backends.providers.clocks import Time

GUEST = Guest("shared", 1, 512)
NAME = "apothic-7c1f"


class Made:
    """An app of the fake, and what makes it."""

    def __init__(self, fake: FakeFly, time: Time) -> None:
        self.fake, self.time = fake, time
        self.api = FlyApi(fake.token, fake.org, url=fake.url, clock=time.clock)
        self.app = FlyApp(self.api, NAME)

    def ensure(
        self, secret: str = "a-secret-of-the-plane", *, own_ipv4: bool = False, **changes: Any
    ) -> str:
        """All that a control plane needs, as `up` asks for it each time."""
        app = FlyApp(self.api, NAME)
        app.ensure()
        version = app.set_secrets({"KEY": secret})
        disk = app.ensure_volume("state", "iad", 1, GUEST)
        machine = app.ensure_machine("control", "iad", config(disk.id, **changes), version)
        app.ensure_addresses(own_ipv4=own_ipv4)
        return machine

    @property
    def config(self) -> dict[str, Any]:
        (machine,) = self.fake.machines
        return machine.config


def config(volume: str, **changes: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"image": "registry.example/a:1", "guest": GUEST.told}
    told |= {"restart": {"policy": "always"}, "metadata": {"role": "control"}}
    return {**told, "mounts": [{"volume": volume, "path": "/data"}], **changes}


@pytest.fixture
def made() -> Iterator[Made]:
    with faked() as (fake, time):
        one = Made(fake, time)
        yield one
        one.api.close()
        assert fake.violations == []


def test_all_that_a_control_plane_needs_is_made_once(made: Made) -> None:
    made.fake.state.app_unknown_for = 4
    first = made.ensure()
    calls = dict(made.fake.asked)
    second = made.ensure()

    app = made.fake.state.apps[NAME]
    assert first == second
    assert [it["name"] for it in app.volumes.values()] == ["state"]
    assert sorted(it["shared"] for it in app.addresses) == [False, True]
    assert app.secrets == {"KEY": "a-secret-of-the-plane"}
    assert made.fake.asked["create"] == calls["create"]
    assert made.fake.asked["address_add"] == 2
    assert made.fake.asked["update"] == 0


def test_a_disk_grows_where_it_is_and_never_shrinks(made: Made) -> None:
    made.ensure()
    (told,) = made.fake.state.apps[NAME].volumes.values()

    grown = made.app.ensure_volume("state", "ams", 5, GUEST)
    kept = made.app.ensure_volume("state", "ams", 2, GUEST)

    assert grown == kept == Disk(told["id"], "iad", 5)
    assert told["size_gb"] == 5
    assert made.fake.asked["volume_extend"] == 1


def test_other_secrets_start_the_machine_anew(made: Made) -> None:
    machine = made.ensure()
    assert made.ensure("another-secret-of-the-plane") == machine

    assert made.fake.asked["update"] == 1
    assert "secret-of-the-plane" not in str(made.config)


def test_a_new_config_changes_the_machine_where_it_is(made: Made) -> None:
    machine = made.ensure()
    asked = made.fake.asked["update"]
    assert made.ensure(env={"A": "b"}) == machine

    assert made.fake.asked["update"] == asked + 1
    assert made.config["env"] == {"A": "b"}
    assert made.config["metadata"]["role"] == "control"
    assert [it.nonce for it in made.fake.machines] == [""]  # nobody is kept out


def test_nothing_is_changed_while_somebody_else_holds_the_machine(made: Made) -> None:
    machine = made.ensure()
    made.api.lease(NAME, machine, 3600)

    with pytest.raises(ProviderError, match="lease currently held"):
        made.ensure(env={"A": "b"})

    assert "env" not in made.config


def test_an_update_for_which_the_host_has_no_room_says_so_and_gives_the_lease_back(
    made: Made,
) -> None:
    made.ensure()
    made.fake.state.full_hosts.add("iad")

    with pytest.raises(NoCapacity):
        made.ensure(env={"A": "b"})

    assert [it.nonce for it in made.fake.machines] == [""]


def test_a_machine_whose_host_is_silent_is_not_changed(made: Made) -> None:
    machine = made.ensure()
    made.fake.lose_host(machine)

    with pytest.raises(ProviderError, match="is unreachable"):
        made.ensure(env={"A": "b"})


def test_a_machine_that_takes_minutes_to_start_is_waited_for(made: Made) -> None:
    made.fake.state.start_s = 200
    made.ensure()

    assert [it.state for it in made.fake.machines] == ["started"]
    assert made.fake.asked["wait"] >= 4  # one call waits a minute at most


def test_a_machine_that_was_changed_is_waited_for_as_what_it_is_now(made: Made) -> None:
    made.ensure()
    made.fake.state.start_s = 90
    made.ensure(env={"A": "b"})

    assert [it.state for it in made.fake.machines] == ["started"]


def test_secrets_that_are_not_known_everywhere_yet_are_waited_for(made: Made) -> None:
    made.fake.state.secrets_unknown_for = 3
    made.ensure()

    assert made.fake.asked["create"] == 4


def test_a_lease_that_cannot_be_given_back_ends_by_itself(made: Made) -> None:
    made.ensure()
    made.fake.faults.next("release", times=9, broken=True)
    made.ensure(env={"A": "b"})

    assert made.config["env"] == {"A": "b"}


@pytest.mark.parametrize("fault", ["busy", "broken", "garbage"])
def test_trouble_while_a_machine_starts_is_no_answer(made: Made, fault: str) -> None:
    made.fake.state.start_s = 50
    made.fake.faults.next("wait", times=7, **{fault: True})
    made.ensure()

    assert [it.state for it in made.fake.machines] == ["started"]


@pytest.mark.parametrize(("fate", "why"), [("hangs", "within 300 s"), ("fails", "is failed")])
def test_a_machine_that_does_not_start_is_an_error_that_says_so(
    made: Made, fate: str, why: str
) -> None:
    made.fake.faults.next("create", fate=fate)

    with pytest.raises(ProviderError, match=why):
        made.ensure()


@pytest.mark.parametrize("action", ["app_create", "create", "volume_create"])
def test_what_was_made_without_a_reply_is_found_and_not_made_twice(made: Made, action: str) -> None:
    made.fake.faults.next(action, lose_reply=True)
    made.ensure()

    assert made.fake.asked[action] == 1
    assert len(made.fake.machines) == 1
    assert len(made.fake.state.apps[NAME].volumes) == 1


def test_what_may_not_have_been_made_is_told_and_made_the_next_time(made: Made) -> None:
    made.fake.faults.next("volume_create", drop=True)

    with pytest.raises(Unclear):
        made.ensure()
    made.ensure()

    assert len(made.fake.state.apps[NAME].volumes) == 1


def test_an_app_of_another_organisation_of_ours_is_refused(made: Made) -> None:
    made.app.ensure()
    made.fake.state.apps[NAME].org = "another"

    with pytest.raises(Blocked, match="'another', not of 'personal'"):
        made.app.ensure()


def test_a_name_that_others_have_is_no_app_of_ours(made: Made) -> None:
    made.fake.state.foreign.add(NAME)

    with pytest.raises(Blocked, match="somebody else has one of that name"):
        made.app.ensure()


def test_secrets_are_shown_in_no_error(made: Made) -> None:
    made.app.ensure()
    echo = "KEY=a-secret-of-the-plane is not good"
    made.fake.faults.next("secret_set", refuse=(422, echo))

    with pytest.raises(ProviderError, match="is not good") as caught:
        made.app.set_secrets({"KEY": "a-secret-of-the-plane"})

    assert "a-secret-of-the-plane" not in f"{caught.value} {caught.value.data}"


def test_all_of_it_goes_and_nothing_is_left(made: Made) -> None:
    made.ensure()
    assert len(made.app.left()) == 2

    assert made.app.destroy_all() == []

    assert made.fake.state.apps == {}
    assert made.app.left() == []
    assert made.app.destroy_all() == []


def test_an_address_of_its_own_takes_the_place_of_the_shared_one_and_goes_again(
    made: Made,
) -> None:
    for own_ipv4 in (False, True, True, False):
        made.ensure(own_ipv4=own_ipv4)
        told = made.fake.state.apps[NAME].addresses
        assert [it["shared"] for it in told if "." in it["ip"]] == [not own_ipv4]
        assert made.app.has_own_ipv4() is own_ipv4


def test_an_address_that_is_paid_for_is_told_until_it_was_given_back(made: Made) -> None:
    made.ensure(own_ipv4=True)
    assert made.app.left()[-1].endswith("(an IPv4 of its own)")
    made.fake.faults.next("address_remove", times=1000, stubborn=True)

    left = made.app.destroy_all(20)

    assert [it.partition(" ")[0] for it in left] == ["address", "app"]
    assert made.fake.asked["app_delete"] == 0
    made.fake.faults.stop()
    assert made.app.destroy_all() == []


def test_volumes_can_be_kept(made: Made) -> None:
    made.ensure()

    assert made.app.destroy_all(keep_volumes=True) == []

    (left,) = made.app.left()
    assert left.startswith("volume vol_")


def test_what_does_not_go_is_told(made: Made) -> None:
    machine = made.ensure()
    made.fake.faults.next("destroy", times=1000, stubborn=True)

    left = made.app.destroy_all(20)

    assert left[0].startswith(f"machine {machine}")
    assert left[-1] == f"app {NAME}"
    assert made.fake.asked["volume_destroy"] == 0  # a volume goes after its machine


def test_trouble_on_the_way_out_is_overcome(made: Made) -> None:
    made.ensure()
    for action in ("destroy", "volume_destroy", "app_delete"):
        made.fake.faults.next(action, refuse=(412, "not now"))
        made.fake.faults.next(action, stubborn=True)

    assert made.app.destroy_all() == []
    assert made.fake.state.apps == {}


SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["KEY"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
print("up", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_control_plane_runs_with_its_secrets_and_is_reached_from_outside(tmp_path: Path) -> None:
    with faked(tmp_path) as (fake, time):
        made, url = Made(fake, time), fake.public_url(NAME)
        services = [{"protocol": "tcp", "internal_port": 8080, "ports": [{"port": 443}]}]
        argv = [sys.executable, "-c", SERVER, "8080"]
        machine = made.ensure(services=services, init={"exec": argv})

        assert _asked(url) == b"a-secret-of-the-plane"
        assert "up" in made.app.logs(machine)
        made.api.close()


def _asked(url: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(600):  # the process has begun, and may not listen yet
        try:
            with opener.open(url, timeout=20) as answer:
                return answer.read()
        except OSError:
            threading.Event().wait(0.05)
    raise AssertionError("nobody listens")


# --- images ---


LAYERS = (b"a layer " * 20_000, gzip.compress(b"another"))


def pushed(made: Made, path: Path) -> str:
    return push(path, NAME, "1", made.fake.token, url=made.fake.url, clock=made.time.clock)


def test_an_image_is_pushed_compressed_and_named_by_its_digest(made: Made, tmp_path: Path) -> None:
    made.app.ensure()
    name = pushed(made, saved(tmp_path, *LAYERS))

    manifest = json.loads(made.fake.registry.manifests[NAME, name.partition("@")[2]])
    found = [made.fake.registry.blobs[NAME, it["digest"]] for it in manifest["layers"]]
    assert [gzip.decompress(it) for it in found] == [LAYERS[0], b"another"]
    assert found[0][4:8] == bytes(4)  # no time, so that the same layer is the same the next time
    assert (
        made.fake.registry.manifests[NAME, "1"]
        == made.fake.registry.manifests[NAME, name.partition("@")[2]]
    )


def test_what_is_there_is_not_sent_again(made: Made, tmp_path: Path) -> None:
    made.app.ensure()
    first = pushed(made, saved(tmp_path, *LAYERS))
    sent = made.fake.registry.sent_bytes
    second = pushed(made, saved(tmp_path, *LAYERS))

    assert first == second
    assert made.fake.registry.sent_bytes == sent


def test_what_was_pushed_is_found_by_its_tag(made: Made, tmp_path: Path) -> None:
    token, url = made.fake.token, made.fake.url
    assert find(NAME, "1", token, url=url) is None  # nor is the app there
    made.app.ensure()
    name = pushed(made, saved(tmp_path, *LAYERS))

    assert find(NAME, "1", token, url=url) == name
    assert find(NAME, "2", token, url=url) is None


@pytest.mark.parametrize("fault", ["drop", "broken", "garbage", "busy", "lose_reply"])
def test_a_push_in_trouble_goes_on(made: Made, tmp_path: Path, fault: str) -> None:
    made.app.ensure()
    for _ in range(4):
        made.fake.faults.next("push", **{fault: True})
        made.fake.faults.next("push")

    assert "@sha256:" in pushed(made, saved(tmp_path, *LAYERS))


def test_an_image_for_an_app_that_is_not_there_is_an_error(made: Made, tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="NAME_UNKNOWN"):
        pushed(made, saved(tmp_path, *LAYERS))


def test_an_image_for_other_machines_is_refused_before_it_is_sent(
    made: Made, tmp_path: Path
) -> None:
    made.app.ensure()

    with pytest.raises(UsageError, match="--platform linux/amd64"):
        pushed(made, saved(tmp_path, *LAYERS, architecture="arm64"))

    assert made.fake.registry.sent_bytes == 0


@pytest.mark.parametrize("data", [b"", b"no archive", b"{}" * 600])
def test_what_is_no_image_is_refused(made: Made, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)

    with pytest.raises(UsageError, match="docker save"):
        pushed(made, tmp_path / "file")


def test_the_token_goes_to_no_other_server(made: Made, tmp_path: Path) -> None:
    made.app.ensure()
    made.fake.faults.next("push")
    made.fake.faults.next("push", elsewhere="https://elsewhere.example/upload")

    with pytest.raises(ProviderError, match=r"elsewhere\.example"):
        pushed(made, saved(tmp_path, *LAYERS))
