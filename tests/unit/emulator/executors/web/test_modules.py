"""What a process of a service imports before it can serve."""

from __future__ import annotations

from importlib import import_module

import pytest

from apothic_emulator.executors import web


@pytest.mark.parametrize("shape", ["asgi", "endpoint", "fastapi", "web_server", "wsgi"])
def test_what_is_named_for_each_shape_is_there(shape: str) -> None:
    modules = web.modules(shape)

    assert [import_module(name).__name__ for name in modules] == [*modules]
