from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import pytest

from apothic_backends import registry
from apothic_backends.interrupts import DEFERRED, WINDOW
from apothic_backends.model.errors import NotFound, UsageError
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.images import ImageSpec, ImageStep
from apothic_emulator.agent.environments import own_image


def test_an_unknown_backend_is_told_with_those_there_are() -> None:
    with pytest.raises(NotFound, match="local"):
        registry.open_backend("nowhere")


def test_the_name_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APOTHIC_BACKEND", "elsewhere")
    monkeypatch.setenv("APOTHIC_TEST_BACKEND", "elsewhere")

    with pytest.raises(NotFound, match="elsewhere"):
        registry.open_backend()


@pytest.mark.parametrize("wanted", ["https://run.apothic.ai", "http://127.0.0.1:1", "elsewhere"])
@pytest.mark.parametrize("meant", [None, "", "https://another.example"])
def test_a_test_reaches_nothing_beyond_itself(
    wanted: str, meant: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APOTHIC_BACKEND", wanted)
    if meant is not None:
        monkeypatch.setenv("APOTHIC_TEST_BACKEND", meant)

    with pytest.raises(UsageError, match=f"set APOTHIC_TEST_BACKEND={wanted} as well"):
        registry.open_backend()


def test_in_production_nothing_runs_here_unless_it_is_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.delenv("APOTHIC_BACKEND", raising=False)
    monkeypatch.setenv("FLY_MACHINE_ID", "1")

    with pytest.raises(UsageError, match=r"FLY_MACHINE_ID is set.*or to local if that is meant"):
        registry.open_backend()


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ("http://example.com", "plain http://"),
        ("https://user:secret@host", "does not belong into it"),
        ("https://", "names no host"),
    ],
)
def test_what_is_no_address_opens_nothing(wanted: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        registry.open_backend(wanted)


def test_only_the_very_process_is_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APOTHIC_WORKER", str(os.getpid()))
    assert registry.is_worker()

    monkeypatch.setenv("APOTHIC_WORKER", "1")
    assert not registry.is_worker()


# --- Ctrl-C ---------------------------------------------------------------------------------------


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def reached_by(work: Callable[[list[str]], None]) -> list[str]:
    """How far it comes before Ctrl-C arrives."""
    reached: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        work(reached)
    return reached


def test_ctrl_c_is_held_back_until_the_block_ends() -> None:
    def work(reached: list[str]) -> None:
        with DEFERRED:
            interrupt()
            reached.append("the end")

    assert reached_by(work) == ["the end"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_goes_through_a_window() -> None:
    def work(reached: list[str]) -> None:
        with DEFERRED, WINDOW:
            interrupt()
            reached.append("the end")

    assert reached_by(work) == []


def test_ctrl_c_that_came_before_goes_through_when_the_window_opens() -> None:
    def work(reached: list[str]) -> None:
        with DEFERRED:
            interrupt()
            with WINDOW:
                reached.append("the window")

    assert reached_by(work) == []


def test_a_block_inside_a_window_holds_ctrl_c_back_again() -> None:
    def work(reached: list[str]) -> None:
        with DEFERRED, WINDOW:
            with DEFERRED:
                interrupt()
                reached.append("inner")
            reached.append("outer")

    assert reached_by(work) == ["inner"]


def test_blocks_inside_blocks_are_one() -> None:
    with DEFERRED, DEFERRED:
        pass

    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_that_is_not_a_function_is_left_alone() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with DEFERRED:
            interrupt()
            inside = signal.getsignal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)

    assert inside is signal.SIG_IGN


def test_other_threads_hold_nothing_back() -> None:
    inside: list[object] = []

    def work() -> None:
        with DEFERRED, WINDOW:
            inside.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert inside == [signal.default_int_handler]


def test_a_window_outside_of_a_block_does_nothing() -> None:
    with WINDOW:
        assert not DEFERRED.is_open


def test_a_worker_knows_the_image_that_it_runs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    image = ImageSpec(base="a", context="0" * 64, steps=(ImageStep("env", ("A=1",)),))
    told = own_image(FunctionSpec("app", "f", image=image))
    monkeypatch.setenv("APOTHIC_IMAGE", told["APOTHIC_IMAGE"])
    assert registry.own_image() is None

    monkeypatch.setenv("APOTHIC_WORKER", str(os.getpid()))
    assert registry.own_image() == ("app/f", image)


@pytest.mark.parametrize(
    "image",
    [
        None,
        ImageSpec(base="a"),
        ImageSpec(context="0" * 64, dockerfile="FROM a\n" + "#" * 100_000),
    ],
)
def test_a_worker_is_told_of_no_image_without_files_and_of_none_that_is_too_long(
    image: ImageSpec | None,
) -> None:
    assert own_image(FunctionSpec("app", "f", image=image)) == {}
