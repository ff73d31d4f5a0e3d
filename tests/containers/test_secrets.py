"""Secrets of functions in containers: a file in memory, and nothing else that could be found."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apothic_emulator.agent.containers.plan import EXECUTOR
from apothic_emulator.executors.boxed import SECRETS
from tests.containers.conftest import Ran, until

pytestmark = pytest.mark.docker

CANARY = "canary-in-a-coal-mine"
FILE = f"{SECRETS}/variables.json"
PROGRAM = f"""
    import glob, json, stat
    LINES = "a\\nü\\t"
    secret = apothic.Secret.from_dict({{"TOKEN": "canary-in-a" + "-coal-mine", "LINES": LINES}})

    def mount_of(path):
        mounts = [line.split() for line in open("/proc/self/mounts")]
        return [(it[2], sorted(it[3].split(","))) for it in mounts if it[1] == path]

    @app.function(secrets=[secret])
    def look():
        token, file = os.environ["TOKEN"], "{FILE}"
        told = glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline")
        return dict(
            variables=[token, os.environ["LINES"], os.environ["APOTHIC_SECRETS"]],
            named=sorted(name for name, value in os.environ.items() if file in value),
            kept=json.load(open(file)),
            mode=oct(stat.S_IMODE(os.stat(file).st_mode)),
            is_mine=os.stat(file).st_uid == os.geteuid(),
            folder=(oct(stat.S_IMODE(os.stat("{SECRETS}").st_mode)), os.listdir("{SECRETS}")),
            mount=mount_of("{SECRETS}"),
            told=[path for path in told if token.encode() in open(path, "rb").read()],
            user=os.geteuid(),
        )

    @app.function()
    def plain():
        return os.path.exists("{SECRETS}")

    if __name__ == "__main__":
        print(json.dumps(look.remote()), flush=True)
        for line in sys.stdin:
            print(plain.remote(), flush=True)
"""


AS_NOBODY = """
    import shutil
    if os.geteuid() == 0:  # it may still read this machine's Python, wherever root has put that
        rights = "+dac_override,+dac_read_search"
        group = os.stat("/var/run/docker.sock").st_gid
        told = ["--reuid=65534", "--regid=65534", f"--groups={group}"]
        told += [f"--inh-caps={rights}", f"--ambient-caps={rights}", sys.executable, __file__]
        os.execv(shutil.which("setpriv"), ["setpriv", *told])
"""


def mine(client: Any) -> list[Any]:
    return list(client.containers(filters={"label": EXECUTOR}))


@pytest.fixture
def one(ran: Callable[..., Ran]) -> Ran:
    return ran(PROGRAM)


def test_secrets_are_variables_as_in_processes_and_a_file_in_memory_of_who_runs_the_function(
    one: Ran,
) -> None:
    found = json.loads(one.says())

    assert found["variables"] == [CANARY, "a\nü\t", "TOKEN,LINES"]
    assert found["kept"] == {"TOKEN": CANARY, "LINES": "a\nü\t"}
    assert (found["mode"], found["is_mine"]) == ("0o400", True)
    assert found["folder"] == ["0o700", ["variables.json"]]
    ((kind, options),) = found["mount"]
    assert kind == "tmpfs"
    assert {"noexec", "nosuid", "nodev"} <= set(options)
    assert (found["named"], found["told"]) == ([], [])


def test_the_file_is_of_another_user_than_root_if_that_runs_it(
    ran: Callable[..., Ran], tmp_path: Path
) -> None:
    found = json.loads(ran(AS_NOBODY + PROGRAM, APOTHIC_HOME=str(tmp_path / "own")).says())

    assert found["user"] == (os.geteuid() or 65534)
    assert (found["mode"], found["is_mine"], found["kept"]["TOKEN"]) == ("0o400", True, CANARY)


def test_secrets_are_in_nothing_that_docker_tells_nor_in_files_of_ours(
    one: Ran, client: Any, home: Path
) -> None:
    one.says()
    (found,) = mine(client)
    number, image = found["Id"], found["ImageID"]
    told = [client.inspect_container(number), client.top(number), client.inspect_image(image)]
    written = [path for path in home.rglob("*") if path.is_file()]

    assert CANARY not in json.dumps(told)
    assert [path for path in written if CANARY.encode() in path.read_bytes()] == []


def test_an_image_that_is_made_of_its_container_has_no_file_of_them(one: Ran, client: Any) -> None:
    one.says()
    (found,) = mine(client)
    image = client.commit(found["Id"])["Id"]
    try:
        made = client.create_container(image, entrypoint=["ls", "-A", SECRETS], command=[])["Id"]
        client.start(made)
        code, said = client.wait(made)["StatusCode"], client.logs(made)
        client.remove_container(made)
    finally:
        client.remove_image(image, force=True)

    assert (code, said) == (0, b"")


def test_the_file_is_in_no_other_place_than_its_container_and_ends_with_that(
    one: Ran, client: Any
) -> None:
    one.says()
    (found,) = mine(client)
    inside = Path(f"/proc/{client.inspect_container(found['Id'])['State']['Pid']}/root{FILE}")
    was_there = json.loads(inside.read_text())["TOKEN"] == CANARY
    is_mounted_here = SECRETS in Path("/proc/self/mountinfo").read_text()

    one.process.kill()

    until(lambda: not mine(client))
    assert (was_there, is_mounted_here, inside.exists()) == (True, False, False)


def test_without_secrets_there_is_no_place_for_them(one: Ran) -> None:
    one.says()
    assert one.process.stdin is not None

    one.process.stdin.write("plain\n")
    one.process.stdin.flush()

    assert one.says() == "False"
