"""What the function of a service gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


class CannotServe(Exception):
    """Why a service cannot be started, for its author, who is shown the name alone."""

    def __init_subclass__(cls) -> None:
        cls.__module__ = "builtins"


class NoApplication(CannotServe):
    """What a function gave is no application of its kind."""


async def given(function: Callable[..., Any]) -> Any:
    """What a function returns, or what it awaits before that."""
    value = function()
    return await value if inspect.isawaitable(value) else value
