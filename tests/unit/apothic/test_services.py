"""Services as they are declared: what each shape takes, and what a backend is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from apothic import App, InvalidOption, UsageError
from apothic.services import Service
from apothic_backends.model.services import ServiceSpec


@pytest.fixture
def app() -> App:
    return App("demo")


def serve() -> str:
    return "hello"


def spec_of(handle: Service[..., Any]) -> ServiceSpec:
    service = handle.spec().service
    assert service is not None
    return service


def test_a_service_says_how_it_serves(app: App) -> None:
    handle = app.asgi(keep_warm_s=5, service_startup_timeout_s=90, public=True)(serve)

    assert spec_of(handle) == ServiceSpec("asgi", 5.0, 90.0, public=True)


def test_what_is_meant_where_nothing_is_said(app: App) -> None:
    handle = app.asgi()(serve)

    assert spec_of(handle) == ServiceSpec("asgi", 600.0, 60.0)
    assert (handle.spec().concurrent_requests, handle.spec().max_containers) == (1000, 1)


def test_each_decorator_has_its_shape(app: App) -> None:
    shapes = [
        spec_of(decorator(serve))
        for decorator in (
            app.endpoint(methods=["get", "POST"]),
            app.asgi(),
            app.fastapi_endpoint(method="POST", docs=True),
            app.wsgi_app(),
            app.web_server(8765, startup_timeout=2.5),
        )
    ]

    assert [it.shape for it in shapes] == ["endpoint", "asgi", "fastapi", "wsgi", "web_server"]
    assert shapes[0].methods == ("GET", "POST")
    assert (shapes[2].methods, shapes[2].docs) == (("POST",), True)
    assert (shapes[4].port, shapes[4].startup_timeout_s) == (8765, 2.5)


def test_placement_is_said_as_for_functions(app: App) -> None:
    spec = app.asgi(memory_mb=512, gpu="H100", timeout_s=30)(serve).spec()

    assert (spec.memory_mb, spec.gpu, spec.gpu_count, spec.timeout_s) == (512, ("H100",), 1, 30.0)


@pytest.mark.parametrize(
    "option", ["schedule", "retries", "max_retries", "max_pending_tasks", "tasks_per_container"]
)
def test_options_of_calls_are_refused(app: App, option: str) -> None:
    options: Any = {option: 1}
    with pytest.raises(InvalidOption, match=f"{option} is for calls"):
        app.asgi(**options)(serve)


@pytest.mark.parametrize(
    ("decorator", "options"),
    [
        ("asgi", {"keep_warm_s": -1}),
        ("asgi", {"service_startup_timeout_s": 0}),
        ("asgi", {"public": "yes"}),
        ("asgi", {"methods": ["GET"]}),
        ("endpoint", {"methods": []}),
        ("endpoint", {"methods": ["FETCH"]}),
        ("fastapi_endpoint", {"method": 7}),
    ],
)
def test_what_cannot_be_meant_is_refused(
    app: App, decorator: str, options: dict[str, object]
) -> None:
    with pytest.raises(InvalidOption, match=next(iter(options))):
        getattr(app, decorator)(**options)(serve)


@pytest.mark.parametrize("port", [0, -1, 65536, "80", True])
def test_a_port_that_is_none_is_refused(app: App, port: Any) -> None:
    with pytest.raises(InvalidOption, match="port"):
        app.web_server(port)(serve)


def test_the_message_names_the_decorator(app: App) -> None:
    with pytest.raises(InvalidOption, match=r"@app\.wsgi_app of serve\(\)"):
        app.wsgi_app(keep_warm_s=-1)(serve)


def test_what_is_declared_already_is_no_function_for_it(app: App) -> None:
    handle = app.function(serve)

    with pytest.raises(UsageError, match="declared already"):
        app.asgi()(handle)


def test_it_is_among_the_functions_of_its_app(app: App) -> None:
    handle = app.asgi()(serve)

    assert app.functions == {"serve": handle}


def test_it_runs_in_place(app: App) -> None:
    handle = app.asgi()(serve)

    assert handle() == handle.local() == "hello"


def test_other_options_give_another_handle(app: App) -> None:
    handle = app.asgi(keep_warm_s=5)(serve).with_options(memory_mb=64)

    assert (handle.spec().memory_mb, spec_of(handle).keep_warm_s) == (64, 5.0)


def test_calls_say_where_it_answers_instead(app: App) -> None:
    handle = app.asgi()(serve)

    with pytest.raises(UsageError, match="get_web_url"):
        handle.remote()
