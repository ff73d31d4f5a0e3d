"""`apothic gpu` and `apothic top`, as people and programs see them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from apothic_emulator.agent.nvml import is_in_namespace
from tests.integration.gpus.driver import GIB, Driver
from tests.integration.support import wait_until
from tests.integration.terminal import Talk, talk
from tests.server.served import served

CLI = [sys.executable, "-m", "apothic.cli"]
NO_PLANE = "no control plane runs that could be asked"
NOBODY = "hidden by pid namespace" if is_in_namespace() else "free"


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    (tmp_path / "home").mkdir()
    return Driver(tmp_path)


def environment(driver: Driver, folder: Path, **more: str) -> dict[str, str]:
    """A person's, who has nothing running."""
    env = driver.environment(APOTHIC_HOME=str(folder / "home"), TERM="xterm-256color", **more)
    for name in ("CI", "NO_COLOR", "PYTEST_CURRENT_TEST"):
        env.pop(name, None)
    return env


def cli(driver: Driver, folder: Path, *arguments: str, **more: str) -> tuple[list[str], str]:
    """What a command prints, line by line; and on stderr."""
    done = subprocess.run(
        [*CLI, *arguments],
        env=environment(driver, folder, **more),
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines(), done.stderr


def at_terminal(driver: Driver, folder: Path, *arguments: str, **more: str) -> Talk:
    """What a person sees who presses q."""
    code = "import os, sys; os.environ.clear(); os.environ.update(eval(sys.argv[1])); "
    code += "os.chdir(sys.argv[2]); os.execv(sys.argv[3], sys.argv[3:])"
    env = repr(environment(driver, folder, **more))
    return talk(["-c", code, env, str(folder), *CLI, *arguments], [("q quits", "q")], Path.cwd())


# --- apothic gpu list ----------------------------------------------------------------------------


def test_devices_are_listed_with_how_they_are(driver: Driver, tmp_path: Path) -> None:
    driver.device(0, "GPU-849d5a8d-1111-2222-3333", "NVIDIA GeForce RTX 4090")
    driver.device(1, "GPU-7f57f032-1111-2222-3333", "NVIDIA A100-SXM4-40GB", 40)
    driver.cut(1, "MIG-377e0049-1111-2222-3333")
    driver.device(2, "GPU-9")
    driver.tell(
        _0_used=9 * GIB, _0_util=61, _0_temp=58, _0_pids=f"{os.getpid()}:{GIB}", _2_error=15
    )

    lines, _ = cli(driver, tmp_path, "gpu", "list")

    user = f"{Path('/proc/self/comm').read_text().strip()} ({os.getpid()})"
    lost = "it fell off the bus; a reset of it or a restart of the machine may bring it back"
    assert [line.rstrip() for line in lines] == [
        line.rstrip()
        for line in f"""\
#    device                              uuid          memory         util  temp  used by
0    NVIDIA GeForce RTX 4090             GPU-849d5a8d  9.7 / 25.8 GB  61 %  58 C  {user}
1    NVIDIA A100-SXM4-40GB  MIG on       GPU-7f57f032                       40 C
1.0    NVIDIA A100-SXM4-40GB MIG 1g.5gb  MIG-377e0049  0.0 / 5.4 GB   n/a   40 C  {NOBODY}
2    a device                                                                     {lost}
visible: CUDA_VISIBLE_DEVICES not set""".splitlines()
    ]


def test_where_there_is_none_the_reason_is_told_and_that_is_no_failure(
    driver: Driver, tmp_path: Path
) -> None:
    driver.tell(init=9)

    assert cli(driver, tmp_path, "gpu", "list")[0] == [
        "no GPU: the NVIDIA driver is not loaded",
        "visible: CUDA_VISIBLE_DEVICES not set",
    ]


def test_what_is_not_visible_to_programs_is_marked(driver: Driver, tmp_path: Path) -> None:
    driver.device(0, "GPU-0")
    driver.device(1, "GPU-1")

    lines, _ = cli(driver, tmp_path, "gpu", "list", CUDA_VISIBLE_DEVICES="1")

    assert lines[1].endswith("not visible")
    assert lines[2].endswith(NOBODY)
    assert lines[3] == "visible: CUDA_VISIBLE_DEVICES='1'"


def test_programs_get_json(driver: Driver, tmp_path: Path) -> None:
    driver.device(0, "GPU-0")

    (line,), _ = cli(driver, tmp_path, "gpu", "list", "--json")

    told = json.loads(line)
    assert (told["schema"], told["usable"]) == ("apothic.gpus.v1", ["GPU-0"])
    assert told["devices"][0]["gpu"]["memory_mb"] == 24_576
    assert told["devices"][0]["util_percent"] == 0


def test_jobs_that_have_a_device_are_named_where_a_control_plane_runs(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in range(2):
        driver.device(place, f"GPU-{place}")
    for name in ("LD_LIBRARY_PATH", "NVML_OF_TESTS"):
        monkeypatch.setenv(name, driver.environment()[name])
    began, gate = tmp_path / "began", tmp_path / "gate"
    os.mkfifo(gate)
    code = "from tests.integration.gpus.program import hold; "
    code += f"hold.remote({str(began)!r}, {str(gate)!r})"
    with served(tmp_path) as server:
        plane: Any = {"APOTHIC_BACKEND": server.url, "APOTHIC_API_KEY": server.token}
        caller = subprocess.Popen(
            [sys.executable, "-c", code], env=environment(driver, tmp_path, **plane)
        )
        wait_until(began.exists)
        listed, _ = cli(driver, tmp_path, "gpu", "list", **plane)
        (top,), _ = cli(driver, tmp_path, "top", "--json", **plane)
        seen = at_terminal(driver, tmp_path, "top", **plane)
        gate.write_text("x")
        assert caller.wait(60) == 0

    assert listed[1].endswith("stay jobs:1")
    overview = json.loads(top)["overview"]
    assert overview["functions"][0] | {"reason": ""} == {
        "app_name": "gpus",
        "function_name": "stay",
        "running": 1,
        "waiting": 0,
        "reason": "",
    }
    assert overview["workers"][0]["gpus"] == ["GPU-0"]
    for text in ("jobs", "gpus/stay", "workers", "ready", "GPU-0", "stay jobs:1"):
        assert text in seen.shown


def test_a_server_makes_devices_up_as_programs_do(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APOTHIC_FAKE_GPUS", "2xA100-40GB:1g.5gb")
    with served(tmp_path) as server:
        plane = {"APOTHIC_BACKEND": server.url, "APOTHIC_API_KEY": server.token}
        code = "from tests.integration.gpus.program import see_slice; print(see_slice.remote())"
        told = driver.run(code, APOTHIC_HOME=str(tmp_path / "home"), **plane)

    assert told == "MIG-fake-A100-0-0\n"


# --- apothic top ---------------------------------------------------------------------------------


def test_at_a_terminal_it_is_a_picture_that_goes_when_q_is_pressed(
    driver: Driver, tmp_path: Path
) -> None:
    driver.device(0, "GPU-0")
    driver.tell(_0_util=61, _0_used=23 * GIB)

    seen = at_terminal(driver, tmp_path, "gpu", "top")

    assert seen.code == 0
    assert "\x1b[?1049h" in seen.shown  # the other screen of the terminal,
    assert seen.shown.rindex("\x1b[?1049l") > seen.shown.index("q quits")  # and back
    assert "\x1b[33m61 %" in seen.shown  # busy
    assert "\x1b[31m24.7 / 25.8 GB" in seen.shown  # full


def test_at_a_terminal_it_says_that_nothing_runs(driver: Driver, tmp_path: Path) -> None:
    driver.tell(init=9)

    seen = at_terminal(driver, tmp_path, "top")

    assert seen.code == 0
    assert "no GPU: the NVIDIA driver is not loaded" in seen.shown
    assert NO_PLANE in seen.shown


def test_where_it_is_no_terminal_it_is_printed_once(driver: Driver, tmp_path: Path) -> None:
    driver.tell(init=9)

    lines, errors = cli(driver, tmp_path, "top")

    assert lines[:2] == ["GPUs", "no GPU: the NVIDIA driver is not loaded"]
    assert NO_PLANE in errors


def test_a_control_plane_that_does_not_answer_is_told(driver: Driver, tmp_path: Path) -> None:
    gone = {"APOTHIC_BACKEND": "http://127.0.0.1:9", "APOTHIC_API_KEY": "apk_x"}

    lines, errors = cli(driver, tmp_path, "gpu", "list", **gone)

    assert lines[0].startswith("no GPU: the NVIDIA driver knows of no device")
    assert "the control plane does not answer" in errors
