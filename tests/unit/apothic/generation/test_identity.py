"""What a generated function is known by."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from apothic import App, Cron, Image, LivConfig, Period, Retries, Secret, Volume, liv
from apothic.generation.identity import context_of, identity_of
from apothic.generation.stubs import stub_of

KEPT: dict[str, Any] = {}


def work(a: int) -> int:
    """Double it."""
    raise NotImplementedError


def known(model: str = "m", config: dict[str, Any] = KEPT, **options: Any) -> str:
    """What `work` is known by with these options."""
    handle = App("demo").function(**options)(work)
    stub = stub_of(work, "demo", "function")
    return identity_of(stub, LivConfig(**config), context_of(handle), model)


OPTIONS: dict[str, tuple[Any, ...]] = {
    "cpu": (1, 2),
    "memory_mb": (512, 2048),
    "timeout_s": (60, 61.5),
    "gpu": ("H100", ["H100", "A100"], "A100"),
    "gpu_count": (2, 4),
    "min_vram_gb": (20, 40),
    "gpu_share": (True,),
    "disk_gb": (10, 20),
    "concurrent_requests": (2, 3),
    "max_containers": (2, 3),
    "tasks_per_container": (2, 3),
    "max_pending_tasks": (5, 6),
    "retries": (1, 2, Retries(max_retries=2)),
    "geolocation": ("DE", ["DE", "FR"]),
    "max_cost_per_hour_usd": (0.5, 0.6),
    "max_cost_per_tflop_hour_usd": (0.01, 0.02),
    "min_total_flops": (10, 20),
    "min_gpu_ram_bandwidth_gbps": (500, 900),
    "min_cpu_cores": (8, 9),
    "min_cpu_ram_gb": (8, 9),
    "min_cpu_ghz": (2, 3),
    "min_disk_bandwidth_mb_s": (100, 200),
    "min_internet_upload_mbps": (100, 200),
    "min_internet_download_mbps": (100, 200),
    "secure_cloud_only": (True,),
    "offer_filters": ({"pci_gen": {"gte": 3}}, {"pci_gen": {"gte": 4}}),
    "image": (
        Image.debian_slim("3.12"),
        Image.debian_slim().pip_install("numpy"),
        Image.debian_slim().apt_install("git"),
        Image.debian_slim().env(A="1"),
        Image.debian_slim().run_commands("true"),
        Image.from_registry("ubuntu:24.04"),
        Image.debian_slim().add_local_dir(".", "/app"),
    ),
    "secrets": ([Secret.from_name("A")], [Secret.from_name("B")], [Secret.from_dict({"K": "v"})]),
    "volumes": (
        {"/data": Volume.from_name("one")},
        {"/data": Volume.from_name("two")},
        {"/cache": Volume.from_name("one")},
    ),
    "schedule": (Cron("0 3 * * *"), Cron("0 4 * * *"), Period(hours=1)),
}
"""Values of each option that mean something of their own."""

NO_SCHEDULE = {name for name in OPTIONS if name != "schedule"}
ALONE = {"gpu_count": {"gpu": "H100"}, "min_vram_gb": {"gpu": "H100"}, "gpu_share": {"gpu": "H100"}}
"""What an option says nothing without."""


def no_argument() -> int:
    """What a schedule can run."""
    raise NotImplementedError


def identities(name: str) -> list[str]:
    """What each value of an option, and its absence, makes of it."""
    function = no_argument if name == "schedule" else work
    more: Any = ALONE.get(name, {})
    stub = stub_of(function, "demo", "function")
    handles = [App("demo").function(**more, **{name: value})(function) for value in OPTIONS[name]]
    handles.append(App("demo").function(**more)(function))
    return [identity_of(stub, LivConfig(), context_of(handle), "m") for handle in handles]


@pytest.mark.parametrize("name", OPTIONS)
def test_every_value_of_an_option_is_another_identity(name: str) -> None:
    found = identities(name)

    assert len({*found}) == len(found)


@given(st.sets(st.sampled_from(sorted(NO_SCHEDULE - ALONE.keys() - {"retries"}))), st.data())
@settings(deadline=None, max_examples=40)
def test_any_change_of_what_is_declared_is_another_identity(
    chosen: set[str], data: st.DataObject
) -> None:
    options = {name: data.draw(st.sampled_from(OPTIONS[name]), name) for name in sorted(chosen)}
    changed = data.draw(st.sampled_from(sorted(NO_SCHEDULE - ALONE.keys() - {"retries"})))
    others = [value for value in OPTIONS[changed] if value != options.get(changed)]
    other = options | {changed: data.draw(st.sampled_from(others))} if others else {}

    assert not others or known(**options) != known(**other)


def test_what_is_declared_alike_is_the_same_identity() -> None:
    options: dict[str, Any] = {"cpu": 2, "secrets": [Secret.from_dict({"K": "v"})], "gpu": "H100"}

    assert known(**options) == known(**options)


def test_filters_count_as_they_are_compiled() -> None:
    assert known(min_cpu_cores=8) == known(min_cpu_cores=8.0)


def test_values_of_secrets_are_no_part_of_it() -> None:
    one, other = Secret.from_dict({"K": "one"}), Secret.from_dict({"K": "other"})

    assert known(secrets=[one]) == known(secrets=[other])


def test_no_value_of_a_secret_is_in_what_a_model_is_told() -> None:
    handle = App("demo").function(secrets=[Secret.from_dict({"K": "hidden-value"})])(work)

    assert "hidden-value" not in repr(context_of(handle))


@pytest.mark.parametrize(
    "config",
    [
        {"examples": [((1,), {})]},
        {"examples": [((1,), {}, 2)]},
        {"temperature": 0.5},
        {"self_debug": True},
        {"sandbox": False},
        {"allowed_modules": ("json",)},
        {"allowed_modules": ()},
        {"tools": (no_argument,)},
        {"prompt_salt": "again"},
        {"target_context": {"database": "postgres 16"}},
    ],
    ids=lambda config: next(iter(config)),
)
def test_what_is_said_of_the_generation_is_a_part_of_it(config: dict[str, Any]) -> None:
    assert known(config=config) != known()


@pytest.mark.parametrize(
    "config",
    [{"cache": "app"}, {"api_key": "k"}, {"base_url": "https://x.test"}, {"timeout": 3.0}],
    ids=lambda config: next(iter(config)),
)
def test_where_it_is_asked_and_kept_is_no_part_of_it(config: dict[str, Any]) -> None:
    assert known(config=config) == known()


def test_another_model_is_another_identity() -> None:
    assert known("m") != known("n")


def test_an_endpoint_is_known_by_what_services_have() -> None:
    app = App("demo")
    config = LivConfig(model="m")

    def identity(**options: Any) -> str:
        handle = liv(model="m")(app.endpoint(**options)(work))
        return identity_of(stub_of(work, "demo", "endpoint"), config, context_of(handle), "m")

    found = [identity(), identity(keep_warm_s=5), identity(service_startup_timeout_s=5)]
    assert len({*found, known()}) == 4
