from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any

import pytest

import apothic
from apothic import (
    CloudBucketMount,
    ControlPlaneClient,
    Cron,
    Image,
    InvalidOption,
    LivConfig,
    Period,
    Retries,
    Secret,
    Volume,
    batched,
    concurrent,
)
from apothic.generation.config import LivOptions, as_config

SYSTEM = ("/tmp", "/tmp/", "//tmp", "/./tmp", "/proc", "/proc/1", "/usr/lib/x", "/bin", "/etc/x")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Retries(max_retries=-1),
        lambda: Retries(max_retries=1, initial_delay=61),
        lambda: Retries(max_retries=1, backoff_coefficient=0.5),
        lambda: Retries(max_retries=1, max_delay=0.5),
        lambda: Retries(max_retries=1, jitter=1.5),
        lambda: Cron("every day"),
        lambda: Cron("0 0 * *"),
        Period,
        lambda: Period(days=-1),
        lambda: concurrent(max_inputs=0),
        lambda: concurrent(max_inputs=2, target_inputs=3),
        lambda: batched(max_batch_size=1001, wait_ms=0),
        lambda: batched(max_batch_size=1, wait_ms=-1),
        lambda: Image.debian_slim("3"),
        lambda: Image.debian_slim("2.7"),
        lambda: Image.debian_slim().pip_install("--upgrade", "numpy"),
        lambda: Secret.from_name(""),
        lambda: Secret(""),
        lambda: Volume.from_name("a").mounted_at("cache"),
        lambda: Volume.from_name("a").mounted_at("/a/../b"),
        lambda: Volume.from_name("a").mounted_at("/"),
        *(partial(Volume.from_name("a").mounted_at, path) for path in SYSTEM),
        lambda: Volume.from_name("a", mount_path_default="cache"),
        lambda: Volume.from_name("a/b"),
        lambda: Volume.create("a", backend="floppy"),
        lambda: LivConfig(cache="disk"),
        lambda: LivConfig(cache="custom"),
        lambda: LivConfig(mode="live"),
    ],
)
def test_a_value_out_of_range_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidOption):
        make()


def test_an_image_is_an_immutable_recipe() -> None:
    base = Image.debian_slim(python_version="3.11")

    richer = base.uv_pip_install("numpy", ["pandas"]).env({"A": "1"}, B="2").apt_install()

    assert base.steps == ()
    assert richer.base == "python:3.11-slim"
    assert richer.steps == (("uv_pip_install", ("numpy", "pandas")), ("env", ("A=1", "B=2")))
    with pytest.raises(AttributeError):
        base.base = "other"


@pytest.mark.parametrize(
    "value",
    [
        Retries(max_retries=2),
        Period(hours=1),
        Image.from_dockerfile("Dockerfile").workdir("/app"),
        CloudBucketMount(bucket_name="data", prefix="a").mounted_at("/data"),
        Volume.cloud("v"),
        Volume.from_name("v", strict=True).with_mount_options(read_only=True, sub_path="a/b"),
        Volume.from_name("v").mounted_at("/v").read_only(),
        ControlPlaneClient(api_key="k"),
        LivConfig(examples=[((1,), {})]),
    ],
)
def test_a_value_survives_pickling_and_compares_by_its_fields(value: Any) -> None:
    again = pickle.loads(pickle.dumps(value))

    assert again == value
    assert hash(again) == hash(value)


def test_keys_are_not_shown() -> None:
    assert "hunter2" not in repr(ControlPlaneClient(api_key="hunter2"))
    assert "hunter2" not in repr(LivConfig(api_key="hunter2"))


def test_the_liv_decorator_takes_the_fields_of_its_config() -> None:
    assert set(LivOptions.__annotations__) == set(signature(LivConfig).parameters)


def test_liv_takes_a_config_a_dictionary_or_a_tuple_in_the_order_of_the_fields() -> None:
    config = LivConfig(None, "small")

    assert as_config({"model": "small"}) == as_config((None, "small")) == as_config(config)


def test_decorators_mark_a_function_on_either_side_of_app_function() -> None:
    app = apothic.App("marks")

    @apothic.liv(cache="memory")
    @app.function
    @concurrent(max_inputs=2)
    def marked() -> None: ...

    assert marked.liv == LivConfig(cache="memory")
    assert marked.spec().concurrent_requests == 2


@pytest.mark.parametrize("shape", ["function", "endpoint"])
def test_liv_is_said_inside_above_or_below(shape: str) -> None:
    declare = getattr(apothic.App("marks"), shape)
    config = LivConfig(model="small")

    def work() -> int: ...

    for handle in (
        declare(liv=config)(work),
        apothic.liv(model="small")(declare()(work)),
        declare()(apothic.liv(model="small")(work)),
    ):
        assert handle.liv == config
        vars(work).clear()


def test_liv_cannot_be_said_twice() -> None:
    app = apothic.App("marks")

    def work() -> None: ...

    with pytest.raises(InvalidOption, match=r"work\(\): @apothic.liv and liv= both say"):
        apothic.liv()(app.function(liv=LivConfig())(work))


@pytest.mark.parametrize("shape", ["asgi", "wsgi_app", "fastapi_endpoint"])
def test_liv_generates_no_applications(shape: str) -> None:
    def work() -> Any: ...

    with pytest.raises(InvalidOption, match="liv generates functions and endpoints"):
        apothic.liv()(getattr(apothic.App("marks"), shape)()(work))


def test_liv_generates_no_classes_and_no_methods() -> None:
    class Counter:
        @apothic.method()
        def add(self) -> None: ...

    class Marked:
        @apothic.liv()
        @apothic.method()
        def add(self) -> None: ...

    app = apothic.App("marks")
    with pytest.raises(InvalidOption, match="liv"):
        apothic.liv()(app.cls(Counter))
    with pytest.raises(apothic.UsageError, match="liv"):
        app.cls(Marked)


def test_a_mark_cannot_be_set_twice() -> None:
    def work() -> None: ...

    with pytest.raises(InvalidOption, match="batched is set twice on work"):
        batched(max_batch_size=2, wait_ms=1)(batched(max_batch_size=2, wait_ms=1)(work))
