"""The warm processes of environments: how they end, and what takes their place."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from time import time
from typing import Any

import pytest

from apothic import App, Image, SetupFailed, WorkerLost
from apothic_backends.images.venvs import prune_ours
from apothic_backends.volumes.disk import remove_tree
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


def test_one_is_a_fork_of_the_programs_own_and_ends_with_it(here: Path) -> None:
    plain: Any = App("guests").function()(os.getppid)
    own, function = plain.remote(), parent(retries=AT_ONCE)
    first = function.remote()
    assert first in descendants(own)

    os.kill(own, signal.SIGKILL)
    wait_gone(first)

    assert function.remote() != first


def test_one_is_started_where_a_variable_counts_at_a_start(here: Path) -> None:
    def seeded() -> bool:
        return not sys.flags.hash_randomization

    image = SLIM.env(PYTHONHASHSEED="0")
    assert App("guests").function(image=image)(seeded).remote()


def test_it_looks_like_the_python_of_its_environment(here: Path) -> None:
    def told() -> tuple[bool, ...]:
        import subprocess
        import sysconfig

        prefix = os.environ["VIRTUAL_ENV"]
        command = [sys.executable, "-c", "import sys; print(sys.prefix)"]
        places = (
            sys.prefix,
            sys.exec_prefix,
            sys.executable,
            sysconfig.get_paths()["purelib"],
            subprocess.run(command, capture_output=True, text=True, check=True).stdout,
        )
        return tuple(place.startswith(prefix) for place in places)

    assert App("guests").function(image=SLIM)(told).remote() == (True,) * 5


def test_what_the_programs_own_has_imported_is_none_of_its_modules(here: Path) -> None:
    def place() -> str:
        return str(vars(sys.modules["cloudpickle"])["__file__"])

    App("guests").function()(place).remote()  # it has cloudpickle by now
    assert App("guests").function(image=SLIM)(place).remote().startswith(f"{here}/images/")


def test_why_one_cannot_be_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def remove(self: Any) -> None:
        remove_tree(self._ours)

    monkeypatch.setattr(venvs.VenvEnvironment, "_note_use", remove)

    with pytest.raises(SetupFailed, match="environment cannot be used: FileNotFoundError"):
        parent().remote()


def test_it_shows_up_as_a_zygote(here: Path) -> None:
    assert name_of(parent().remote()) == "apothic-zygote"


def test_links_to_what_apothic_brings_are_pruned_unless_somebody_looks_there(here: Path) -> None:
    parent().remote()
    (used,) = venvs.ours().iterdir()
    (venvs.ours() / "old").mkdir()

    prune_ours(time() + 1)

    assert [*venvs.ours().iterdir()] == [used]
