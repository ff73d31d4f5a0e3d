"""The devices of an agent's machine, as its driver tells of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from apothic_backends.commands.agents import ListAgents
from apothic_backends.model.errors import WorkerLost
from tests.integration.agents.setting import Setting
from tests.integration.gpus import program as p
from tests.integration.gpus.driver import Driver, library
from tests.integration.support import wait_until


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver(tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library()))
    monkeypatch.setenv("NVML_OF_TESTS", str(tmp_path / "nvml"))
    return driver


@pytest.fixture
def setting(tmp_path: Path, driver: Driver) -> Iterator[Setting]:
    driver.device(0, "GPU-0")
    driver.device(1, "GPU-1", "NVIDIA A100-SXM4-40GB", 40)
    driver.cut(1, "MIG-a")
    setting = Setting(tmp_path)
    yield setting
    setting.close()


def test_a_device_that_is_lost_there_ends_what_has_it_and_is_listed(
    setting: Setting, driver: Driver
) -> None:
    setting.agent()
    os.mkfifo(setting.folder / "held")
    job = p.hold.spawn(str(setting.began), str(setting.folder / "held"))
    wait_until(setting.began.exists)

    driver.tell(_0_error=15)

    with pytest.raises(WorkerLost, match="lost its GPU: GPU-0: it fell off the bus"):
        job.wait()
    (agent,) = setting.server.backend.start(ListAgents()).wait(10)
    whole, slice_ = sorted(agent.gpus, key=lambda gpu: gpu.uuid)
    assert whole.trouble.startswith("it fell off the bus")
    assert (slice_.uuid, slice_.parent, slice_.trouble) == ("MIG-a", "GPU-1", "")


def test_an_agent_gives_what_it_was_told_to_give_whatever_it_finds_later(
    setting: Setting, driver: Driver
) -> None:
    setting.agent("a", "--gpu", "MIG-a")
    os.mkfifo(setting.folder / "held")
    job = p.on_slice.spawn(str(setting.began), str(setting.folder / "held"))
    wait_until(setting.began.exists)

    driver.tell(**{"_1.0.error": 15})

    with pytest.raises(WorkerLost, match="lost its GPU: MIG-a: it fell off the bus"):
        job.wait()
    (agent,) = setting.server.backend.start(ListAgents()).wait(10)
    assert [gpu.uuid for gpu in agent.gpus] == ["MIG-a"]
