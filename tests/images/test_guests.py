"""The warm processes of environments: how they end, and what takes their place."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from apothic import App, Image, WorkerLost
from apothic_emulator.agent import venvs
from tests.integration.support import AT_ONCE, descendants, name_of, wait_gone

SLIM = Image.debian_slim()


def parent(**options: Any) -> Any:
    """A function that gives the process which has forked it, or ends at once."""

    def told(ends: bool = False) -> int:
        if ends:
            os._exit(3)
        return os.getppid()

    return App("guests").function(image=SLIM, **options)(told)


def kill(zygote: int) -> None:
    """Kill a zygote; its executors end with it."""
    executors = descendants(zygote)
    assert executors
    os.kill(zygote, signal.SIGKILL)
    for pid in (zygote, *executors):
        wait_gone(pid)


def test_one_without_executors_ends_and_the_next_call_has_another(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(venvs, "IDLE_S", 0.05)
    function = parent()
    first = function.remote()
    with pytest.raises(WorkerLost):
        function.remote(ends=True)

    wait_gone(first)

    assert function.remote() != first


def test_one_that_is_killed_takes_its_executors_along_and_is_replaced(here: Path) -> None:
    function = parent(retries=AT_ONCE)
    first = function.remote()

    kill(first)

    assert function.remote() != first


def test_functions_without_an_image_do_not_see_it_die(here: Path) -> None:
    plain: Any = App("guests").function()(os.getpid)
    own, function = plain.remote(), parent(retries=AT_ONCE)

    kill(function.remote())
    assert function.remote()

    assert plain.remote() == own


def test_it_shows_up_as_a_zygote(here: Path) -> None:
    assert name_of(parent().remote()) == "apothic-zygote"
