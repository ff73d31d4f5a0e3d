"""GPUs of agents: made up, and everything else is real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apothic_backends.commands import GetJob
from apothic_backends.commands.agents import ListAgents
from apothic_backends.connection import use
from apothic_backends.model.errors import NoMachine, SlotDeadlock
from apothic_emulator.local import open_local
from tests.integration.agents import functions as f
from tests.integration.agents.server import start_agent
from tests.integration.agents.test_faults import Setting, opened
from tests.integration.support import wait_gone, wait_until
from tests.server.served import served


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    monkeypatch.setenv("APOTHIC_FAKE_GPUS", "2xH100-80GB")
    setting = Setting(tmp_path)
    yield setting
    setting.close()


def begin(setting: Setting, count: int) -> list[Any]:
    """Calls that each hold a GPU until they are let go."""
    jobs = [hold(setting, i) for i in range(count)]
    wait_until(lambda: len(setting.pids) == count)
    return jobs


def hold(setting: Setting, number: int) -> Any:
    """One more of them, with a gate of its own."""
    gate = setting.folder / f"gate{number}"
    os.mkfifo(gate)
    return f.on_gpu.spawn(str(setting.began), str(gate))


def let_go(setting: Setting, *numbers: int) -> None:
    for number in numbers:
        (setting.folder / f"gate{number}").write_text("x")


def waiting(setting: Setting, job: Any) -> str:
    """For what a job waits."""
    return setting.server.backend.start(GetJob(job.job_id)).wait(10).waiting


def test_code_sees_the_device_that_is_its_own(setting: Setting) -> None:
    setting.agent()

    assert f.see.remote() == ("GPU-fake-H100-0", "PCI_BUS_ID")


def test_what_is_idle_gives_way_to_what_needs_all_devices(setting: Setting) -> None:
    setting.agent()
    f.see.remote()

    assert f.see_two.remote() == "GPU-fake-H100-0,GPU-fake-H100-1"


def test_who_holds_a_device_waits_for_another_and_is_told_when_there_is_none(
    setting: Setting,
) -> None:
    setting.agent()

    assert f.see_below.remote(1) == "GPU-fake-H100-1"
    with pytest.raises(
        SlotDeadlock, match=r"\(see_below\) needs 1 x H100, held by calls that wait"
    ):
        f.see_below.remote(2)


def test_code_without_a_device_is_left_as_it_is(setting: Setting) -> None:
    setting.agent()

    assert f.look_for.remote("CUDA_VISIBLE_DEVICES") == os.environ.get("CUDA_VISIBLE_DEVICES")


def test_a_function_waits_for_a_machine_that_meets_its_conditions(setting: Setting) -> None:
    setting.agent()
    here = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    is_here: Any = {"offer_filters": {"cpu_arch": {"eq": here}, "disk_space": {"gt": 0}}}
    is_not: Any = {"offer_filters": {"cpu_arch": {"neq": here}}}

    assert f.double.with_options(**is_here, geolocation="US").remote(2) == 4
    job = f.double.with_options(**is_not).spawn(2)
    wait_until(lambda: waiting(setting, job))
    assert waiting(setting, job).endswith(
        f"not a: cpu_arch is {here}, and offer_filters['cpu_arch']['neq'] wants anything but {here}"
    )
    job.cancel()


def test_a_third_call_waits_for_one_of_two_devices_and_says_so(setting: Setting) -> None:
    setting.agent()
    jobs = begin(setting, 2)
    third = hold(setting, 2)
    assert waiting(setting, third) == "waits for a GPU: 2 of 2 H100 or T4 on a are taken"

    let_go(setting, 0, 1, 2)

    seen = sorted(job.wait() for job in jobs)
    assert seen == ["GPU-fake-H100-0", "GPU-fake-H100-1"]
    assert third.wait() in seen


def test_an_agent_gives_no_more_than_it_is_told_to(setting: Setting) -> None:
    setting.agent("none", "--no-gpu", "--memory-mb", "2000")
    setting.agent("one", "--gpu", "GPU-fake-H100-1")

    none, one = setting.server.backend.start(ListAgents()).wait(10)

    assert (none.cpu, none.memory_mb, none.gpus) == (4.0, 2000, ())
    assert [gpu.uuid for gpu in one.gpus] == ["GPU-fake-H100-1"]
    assert f.see.remote() == ("GPU-fake-H100-1", "PCI_BUS_ID")


def test_an_agent_that_is_killed_gives_its_devices_to_its_successor(setting: Setting) -> None:
    first = setting.agent()
    begin(setting, 2)
    first.kill()
    first.wait()

    setting.agent()

    assert f.see_two.remote() == "GPU-fake-H100-0,GPU-fake-H100-1"
    wait_gone(setting.pids[0])


def test_a_device_stays_with_its_call_over_a_restart_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APOTHIC_FAKE_GPUS", "1xH100-80GB")
    began, gate = tmp_path / "began", tmp_path / "gate"
    os.mkfifo(gate)
    first = opened(tmp_path / "state.db")
    before = use(first.backend)
    process = start_agent(first.url, tmp_path)
    holding = f.on_gpu.spawn(str(began), str(gate))
    wait_until(began.exists)
    first.close()

    second = opened(tmp_path / "state.db", first.port)
    use(second.backend)
    second.until(lambda plane: plane.fleet.agents.far[1].is_heard)
    job = f.see.spawn()
    found = second.backend.start(GetJob(job.job_id)).wait(10)
    with gate.open("w") as file:
        file.write("x")

    assert found.waiting == "waits for a GPU: 1 of 1 H100 on a are taken"
    assert second.outcome(holding).status.value == "succeeded"
    assert job.wait()[0] == "GPU-fake-H100-0"
    process.kill()
    process.wait()
    use(before)
    second.close()


def test_a_device_that_dies_with_its_process_is_free(setting: Setting) -> None:
    setting.agent()
    jobs = begin(setting, 2)
    third = hold(setting, 2)
    os.kill(setting.pids[0], 9)
    wait_until(lambda: len(setting.pids) == 3)

    let_go(setting, 2)

    assert str(third.wait()).startswith("GPU-fake-H100")
    assert [job.status() for job in jobs].count("lost") == 1


def test_agents_are_listed_with_what_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APOTHIC_FAKE_GPUS", "1xH100-80GB")
    with served(tmp_path, "--no-agent") as server:
        url = server.url
        env = {**os.environ, "APOTHIC_HOME": str(tmp_path / "machine")}
        (tmp_path / "machine").mkdir()
        machine = subprocess.Popen(
            [sys.executable, "-m", "apothic.cli", "agent", "--url", url, "--name", "m"],
            cwd=tmp_path,
            env={**env, "APOTHIC_AGENT_TOKEN": server.key("agent")},
        )
        client = {**env, "APOTHIC_BACKEND": url, "APOTHIC_API_KEY": server.token}
        client["APOTHIC_TEST_BACKEND"] = url

        def listed(*more: str) -> str:
            return subprocess.run(
                [sys.executable, "-m", "apothic.cli", "agent", "list", *more],
                cwd=tmp_path,
                env=client,
                capture_output=True,
                text=True,
                check=True,
            ).stdout

        wait_until(lambda: "joined" in listed())
        told = json.loads(listed("--json"))
        lines = listed().splitlines()
        machine.terminate()
        assert machine.wait(30) == 0

    assert told["agents"][0]["gpus"][0]["uuid"] == "GPU-fake-H100-0"
    assert lines[0].split()[:3] == ["AGENT", "STATUS", "CORES"]
    assert lines[1].split()[:2] == ["m", "joined"]
    assert lines[2].split()[:2] == ["H100", "free"]


# --- in the user's own process -------------------------------------------------------------------


@pytest.fixture
def home() -> Iterator[None]:
    backend = open_local()
    before = use(backend)
    yield
    use(before)
    backend.close()


@pytest.mark.usefixtures("home")
def test_a_device_of_ones_own_machine_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APOTHIC_FAKE_GPUS", "1xT4-16GB,1xH100-80GB")

    assert f.see.remote() == ("GPU-fake-H100-1", "PCI_BUS_ID")
    assert f.see_two.spawn().status() == "failed"


@pytest.mark.usefixtures("home")
def test_a_call_for_which_there_is_no_device_fails_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("APOTHIC_FAKE_GPUS", "1xT4-16GB")

    with pytest.raises(NoMachine, match="1 x H100, and no machine here has that: this machine"):
        f.see.remote()


@pytest.mark.usefixtures("home")
def test_made_up_devices_that_cannot_be_read_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APOTHIC_FAKE_GPUS", "many")

    with pytest.raises(NoMachine, match="it must be like 2xH100-80GB"):
        f.see.remote()


@pytest.mark.usefixtures("home")
def test_a_call_that_would_wait_for_its_own_device_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APOTHIC_FAKE_GPUS", "1xH100-80GB")

    with pytest.raises(SlotDeadlock, match=r"Use spawn\(\) and return the job"):
        f.see_below.remote(1)
