"""What the container of an executor has and may, without an engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from apothic_backends.containers.interpreters import Place
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.images import ImageSpec, ImageStep
from apothic_emulator.agent.containers import hosts, plan, preparing


def test_variables_of_the_machine_stay_where_they_are() -> None:
    env = {"PATH": "/p", "HOME": "/h", "LD_PRELOAD": "x", "XDG_DATA_HOME": "y", "COLOUR": "red"}

    assert plan.variables(env) == {"COLOUR": "red"}


def test_the_topmost_folders_are_shown_and_none_that_a_container_has_itself(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)

    found = plan.shown([str(project / "src"), str(project), "/", "/tmp", "/usr/lib", "/etc", ""])

    assert found == [str(project)]


def test_what_is_not_there_is_not_shown(tmp_path: Path) -> None:
    assert plan.shown([str(tmp_path / "nothing")]) == []


def test_limits_are_those_of_the_function() -> None:
    how = plan.hosted(FunctionSpec("app", "f", memory_mb=64, cpu=2), [], (), is_limited=True)

    assert (how["mem_limit"], how["memswap_limit"], how["nano_cpus"]) == ("64m", "64m", 2 * 10**9)


def test_without_limits_there_are_none() -> None:
    how = plan.hosted(FunctionSpec("app", "f", memory_mb=64, cpu=2), [], (), is_limited=False)

    assert not {"mem_limit", "nano_cpus"} & how.keys()


def test_devices_are_asked_of_nvidias_driver() -> None:
    how = plan.hosted(FunctionSpec("app", "f"), [], ("GPU-1",), is_limited=True)

    assert how["device_requests"][0]["DeviceIDs"] == ["GPU-1"]


def test_rights_are_few_and_none_are_new() -> None:
    how = plan.hosted(FunctionSpec("app", "f"), [], (), is_limited=True)

    assert (how["cap_drop"], how["security_opt"]) == (["ALL"], ["no-new-privileges"])
    assert not {"SYS_ADMIN", "NET_RAW", "MKNOD"} & set(how["cap_add"])


def test_its_user_is_the_one_of_the_program() -> None:
    what = plan.created(Place("image", "python3", "3.12"), "pass", {})

    assert what["user"] == f"{os.geteuid()}:{os.getegid()}"
    assert what["entrypoint"] == ["python3", "-I", "-c", "pass"]


def test_packages_are_shown_where_the_first_process_looks() -> None:
    (mount,) = plan.packages({"apothic": "/somewhere/apothic"})

    assert (mount["Source"], mount["Target"]) == ("/somewhere/apothic", "/run/apothic/apothic")


def test_a_process_that_lives_has_left_nothing() -> None:
    assert not hosts.is_left(hosts.this_host())


def test_a_process_that_has_ended_has_left_what_says_its_name() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as ended:
        ended.wait()
    world = hosts.this_host().partition(".")[0]

    assert hosts.is_left(f"{world}.{ended.pid}.12345")


@pytest.mark.parametrize("host", ["", "another-boot.1.2", "another-boot"])
def test_what_another_machine_holds_is_not_touched(host: str) -> None:
    assert not hosts.is_left(host)


def test_what_was_found_is_kept_by_recipe_and_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path))
    image = ImageSpec(base="debian:12", steps=(ImageStep("run_commands", ("true",)),))

    one, other = (preparing.place_file(image, python) for python in ("3.11", "3.12"))

    assert one != other
    assert preparing.read(one) is None
