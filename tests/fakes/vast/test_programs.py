"""Machines of the fake market really run what they were rented for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from apothic_backends.model.functions import Condition, FunctionSpec
from apothic_backends.providers.base import FAILED, RUNNING, Mount, Order, Rented, VolumeOrder
from apothic_backends.providers.http import Clock
from apothic_backends.providers.vast.provider import VastProvider
from tests.fakes.serving import served
from tests.fakes.vast.fake import KEY, FakeVast
from tests.integration.support import wait_until
from tests.providers.rigs import found

SPEC = FunctionSpec("app", "train", gpu=("RTX 4090",), gpu_count=1)

SELF_DESTROY = """
from os import environ as env
import httpx2
url = f"{env['APOTHIC_VAST_URL']}/api/v0/instances/{env['CONTAINER_ID']}/"
key = {"authorization": "Bearer " + env["CONTAINER_API_KEY"]}
httpx2.request("DELETE", url, json={}, headers=key)
"""


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeVast]:
    with served(FakeVast(folder=tmp_path / "vast", strict=False)) as fake:
        yield fake
    assert fake.violations == []


@pytest.fixture
def provider(fake: FakeVast) -> Iterator[VastProvider]:
    """One that is in a hurry."""
    provider = VastProvider(KEY, fake.url, clock=Clock(sleep=lambda _: None))
    yield provider
    provider.close()


def rent(provider: VastProvider, *argv: str, **env: str) -> Rented:
    """A machine that runs that."""
    offer = provider.offers(SPEC, 20)[0]
    return provider.create(Order("apothic/me/1", offer, "image", argv, 1.0, 20, env))


def test_a_program_has_its_variables_and_those_of_the_market(
    fake: FakeVast, provider: VastProvider
) -> None:
    rented = rent(
        provider, "sh", "-c", "env; echo that is all; exec sleep 600", APOTHIC_AGENT_TOKEN="a-token"
    )
    (it,) = fake.alive()
    program = it.program
    assert program is not None
    wait_until(lambda: "that is all" in program.output())

    assert {
        "APOTHIC_AGENT_TOKEN=a-token",
        f"CONTAINER_ID={rented.provider_id}",
        f"APOTHIC_VAST_URL={fake.url}",
        "APOTHIC_FAKE_GPUS=1xRTX 4090-24GB",
    } <= set(program.output().splitlines())
    assert "a-token" in provider.logs(rented.provider_id)


def test_a_program_ends_with_its_machine(fake: FakeVast, provider: VastProvider) -> None:
    rented = rent(provider, "sleep", "600")
    (it,) = fake.alive()
    assert it.program is not None
    seen = found(provider, "apothic/me/1")
    assert seen is not None
    assert seen.state == RUNNING

    provider.destroy(rented.provider_id)

    assert not psutil.pid_exists(it.program.pid)


def test_a_machine_whose_program_ends_has_failed(fake: FakeVast, provider: VastProvider) -> None:
    rent(provider, "true")
    (it,) = fake.alive()
    assert it.program is not None
    it.program.wait(20)

    seen = found(provider, "apothic/me/1")

    assert seen is not None
    assert (seen.state, "ended" in seen.detail) == (FAILED, True)


def test_a_machine_can_see_to_its_own_end(fake: FakeVast, provider: VastProvider) -> None:
    rent(provider, "python", "-c", SELF_DESTROY)

    wait_until(lambda: not fake.alive())


def test_what_one_machine_leaves_in_a_volume_the_next_one_of_its_host_finds(
    fake: FakeVast, provider: VastProvider
) -> None:
    host = str(provider.offers(SPEC, 20)[0].values["machine_id"])
    made = provider.volumes and provider.volumes.rent(VolumeOrder("apothic_me_1", host, 20, 1.0))
    assert made is not None
    its = Condition("machine_id", "eq", int(host), "its volume")
    env = {"WHERE": "/apothic-volume"}
    printed: list[str] = []
    for number in (2, 3):
        (offer,) = provider.offers(SPEC.replace(placement=(its,)), 20)
        argv = "sh", "-c", 'echo line >> "$WHERE/kept"; cat "$WHERE/kept"; echo end; sleep 600'
        mount = Mount(made.provider_id, "/apothic-volume")
        order = Order(f"apothic/me/{number}", offer, "image", argv, 1.0, 20, env, volume=mount)
        rented = provider.create(order)
        program = fake.instances[int(rented.provider_id)].program
        assert program is not None
        wait_until(lambda it=program: "end" in it.output())
        printed.append(program.output())
        provider.destroy(rented.provider_id)

    assert printed == ["line\nend\n", "line\nline\nend\n"]
