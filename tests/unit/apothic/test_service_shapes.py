"""What functions of services may look like, and what has to be installed for them."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, get_type_hints

import pytest

from apothic import App, UsageError


@dataclass
class Item:
    name: str


@pytest.fixture
def app() -> App:
    """Where services are declared."""
    return App("shapes")


def declare(app: App, shape: str, function: Callable[..., Any]) -> Any:
    arguments = (8000,) if shape == "web_server" else ()
    return getattr(app, shape)(*arguments)(function)


@pytest.mark.parametrize("shape", ["asgi", "wsgi_app", "web_server"])
def test_what_gives_an_application_takes_nothing(app: App, shape: str) -> None:
    def serve(scope: Any, *, more: Any, less: int = 1) -> None:
        pass

    with pytest.raises(UsageError, match=f"@app.{shape}: serve.. .* takes scope, more"):
        declare(app, shape, serve)


@pytest.mark.parametrize("shape", ["asgi", "wsgi_app", "web_server"])
def test_what_gives_an_application_does_not_yield(app: App, shape: str) -> None:
    def serve() -> Iterator[int]:
        yield 1

    with pytest.raises(UsageError, match="yields"):
        declare(app, shape, serve)


def test_what_has_defaults_need_not_be_given(app: App) -> None:
    def serve(debug: bool = False, *, more: int = 1) -> None:
        pass

    assert declare(app, "asgi", serve).name == "serve"


def test_an_endpoint_takes_parameters_that_have_names(app: App) -> None:
    def ask(n: int, /) -> None:
        pass

    with pytest.raises(UsageError, match="by name"):
        declare(app, "endpoint", ask)


def test_an_endpoint_does_not_take_any_number(app: App) -> None:
    def ask(*numbers: int) -> None:
        pass

    with pytest.raises(UsageError, match="by name"):
        declare(app, "endpoint", ask)


def test_an_endpoint_may_be_wrapped(app: App) -> None:
    def ask(n: int) -> int:
        return n

    @functools.wraps(ask)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return ask(*args, **kwargs)

    assert declare(app, "endpoint", wrapped).name == "ask"


def test_a_fastapi_endpoint_that_yields_is_told_the_way_out(app: App) -> None:
    def items() -> Iterator[int]:
        yield 1

    with pytest.raises(UsageError, match="StreamingResponse"):
        declare(app, "fastapi_endpoint", items)


def test_types_that_hints_name_travel_with_an_endpoint(app: App) -> None:
    def put(item: Item) -> None:
        pass

    declare(app, "endpoint", put).code()

    assert put.__annotations__["item"] is Item


def test_a_hint_that_names_nothing_is_refused_before_it_travels(app: App) -> None:
    def put(item: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
        pass

    service = declare(app, "endpoint", put)
    with pytest.raises(UsageError, match=r"a type hint of put\(\) .*Nowhere"):
        service.code()


@pytest.mark.parametrize(
    ("shape", "lacks", "way_out"),
    [
        ("asgi", "uvicorn", "pip install 'apothic\\[web\\]'"),
        ("endpoint", "msgspec", "pip install 'apothic\\[web\\]'"),
        ("fastapi_endpoint", "fastapi", "pip install fastapi"),
    ],
)
def test_what_is_not_installed_is_told_with_the_way_out(
    app: App, shape: str, lacks: str, way_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: real(name) if name != lacks else None
    )

    def serve() -> None:
        pass

    service = declare(app, shape, serve)
    with pytest.raises(UsageError, match=rf"serve\(\) needs {lacks}: {way_out}$"):
        service.check_installed()


def test_what_is_installed_is_enough(app: App) -> None:
    def serve() -> None:
        pass

    for shape in ("asgi", "endpoint", "fastapi_endpoint", "wsgi_app", "web_server"):
        declare(app, shape, serve).check_installed()


def test_a_hint_that_is_no_text_stays(app: App) -> None:
    def put(item: Any) -> None:
        pass

    put.__annotations__["item"] = Item
    declare(app, "endpoint", put).code()

    assert get_type_hints(put)["item"] is Item
