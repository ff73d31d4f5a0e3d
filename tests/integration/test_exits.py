"""Calls that end in other ways than by returning something that can be sent."""

from __future__ import annotations

import asyncio
import mmap
import os
import pickle
import sys
import threading
from typing import Any

import pytest

from apothic import (
    App,
    ArgumentNotSerializable,
    Function,
    RemoteError,
    ResultDeserializeError,
    ResultNotSerializable,
    SetupFailed,
    WorkerLost,
)

pytestmark = pytest.mark.usefixtures("clean")
Run = Function[..., Any]


def fails(run: Run, action: Any, *args: Any) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - looked at by the caller
        run.remote(action, *args)
    return caught.value


def test_sys_exit_is_an_error_of_user_code(run: Run) -> None:
    error = fails(run, lambda: sys.exit("so long"))

    assert isinstance(error, RemoteError)
    assert "SystemExit: so long" in str(error)


def test_exit_code_0_is_no_success(run: Run) -> None:
    assert isinstance(fails(run, lambda: sys.exit(0)), RemoteError)


def test_an_executor_survives_sys_exit(run: Run) -> None:
    before = run.remote(os.getpid)
    fails(run, lambda: sys.exit(3))

    assert run.remote(os.getpid) == before


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
def test_a_base_exception_is_an_error_of_user_code(run: Run, kind: type[BaseException]) -> None:
    def action() -> None:
        raise kind("by hand")

    error = fails(run, action)

    assert isinstance(error, RemoteError)
    assert kind.__name__ in str(error)


def test_an_exception_keeps_its_type_arguments_and_attributes(run: Run) -> None:
    def action() -> None:
        error = FileNotFoundError(2, "gone", "a.txt")
        error.hint = "look elsewhere"  # type: ignore[attr-defined]
        raise error

    error = fails(run, action)

    assert isinstance(error, FileNotFoundError)
    assert (error.filename, vars(error)["hint"]) == ("a.txt", "look elsewhere")


def test_the_remote_traceback_names_the_line_and_none_of_ours(run: Run) -> None:
    def action() -> None:
        raise ValueError("here")

    text = str(fails(run, action).__cause__)

    assert 'raise ValueError("here")' in text
    assert "apothic_emulator" not in text


class Demanding(Exception):
    """Cannot be made from its own `args`."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__("only one")
        self.sum = first + second


def test_an_exception_with_a_demanding_init_arrives_as_itself(run: Run) -> None:
    def action() -> None:
        raise Demanding(1, 2)

    error = fails(run, action)

    assert type(error).__name__ == "Demanding"
    assert vars(error)["sum"] == 3


def test_an_exception_that_holds_a_lock_arrives_as_text(run: Run) -> None:
    def action() -> None:
        raise ValueError("with a lock", threading.Lock())

    error = fails(run, action)

    assert isinstance(error, RemoteError)
    assert "ValueError" in str(error)
    assert "with a lock" in str(error)


def test_an_exception_whose_reduce_raises_arrives_without_it(run: Run) -> None:
    class Awkward(Exception):
        def __reduce__(self) -> Any:
            raise SystemExit(5)

    def action() -> None:
        raise Awkward("awkward")

    assert type(fails(run, action)).__name__ == "Awkward"


def test_an_exception_whose_str_raises_arrives_as_text(run: Run) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise KeyboardInterrupt

    def action() -> None:
        raise Mute(threading.Lock())

    assert "Mute" in str(fails(run, action))


def test_an_exception_that_is_its_own_cause_arrives(run: Run) -> None:
    def action() -> None:
        error = ValueError("ouroboros")
        error.__cause__ = error
        raise error

    assert isinstance(fails(run, action), ValueError)


def test_an_exception_that_only_loads_in_the_executor_arrives_as_text(run: Run) -> None:
    here = os.getpid()

    def rebuild() -> Exception:
        if os.getpid() == here:
            raise RuntimeError("not here")
        return Homebody()

    class Homebody(Exception):
        def __reduce__(self) -> Any:
            return rebuild, ()

    def action() -> None:
        raise Homebody

    error = fails(run, action)

    assert isinstance(error, RemoteError)
    assert "Homebody" in str(error)


@pytest.mark.parametrize("make", [threading.Lock, lambda: (n for n in "abc")])
def test_a_result_that_cannot_be_pickled_says_so(run: Run, make: Any) -> None:
    error = fails(run, make)

    assert isinstance(error, ResultNotSerializable)
    assert "cannot be sent back" in str(error)


def test_a_result_whose_getstate_raises_says_so(run: Run) -> None:
    class Refuses:
        def __reduce__(self) -> Any:
            raise SystemExit("never")

    error = fails(run, Refuses)

    assert isinstance(error, ResultNotSerializable)


def test_a_result_that_does_not_load_in_the_caller_says_so(run: Run) -> None:
    def rebuild(home: int) -> None:
        assert os.getpid() == home, "wrong process"

    class Stays:
        def __reduce__(self) -> Any:
            return rebuild, (os.getpid(),)

    error = fails(run, Stays)

    assert isinstance(error, ResultDeserializeError)
    assert "wrong process" in str(error)


def test_a_result_of_three_gigabytes_is_refused_in_the_executor(run: Run) -> None:
    error = fails(run, lambda: pickle.PickleBuffer(mmap.mmap(-1, 3 << 30)))

    assert isinstance(error, ResultNotSerializable)
    assert "2 GiB" in str(error)


def test_a_result_too_deep_to_pickle_takes_the_process_and_says_so(run: Run) -> None:
    def action() -> Any:
        sys.setrecursionlimit(10**8)
        nested: list[Any] = []
        for _ in range(10**6):
            nested = [nested]
        return nested

    error = fails(run, action)

    assert isinstance(error, WorkerLost)
    assert error.data["signal"] == 11


def test_endless_recursion_is_an_error_of_user_code(run: Run) -> None:
    def action(depth: int = 0) -> int:
        return action(depth + 1)

    assert isinstance(fails(run, action), RecursionError)


def test_running_out_of_memory_replaces_the_executor(run: Run) -> None:
    before = run.remote(os.getpid)

    def action() -> None:
        raise MemoryError

    assert isinstance(fails(run, action), MemoryError)
    assert run.remote(os.getpid) != before


def test_an_argument_that_cannot_be_pickled_never_leaves(run: Run) -> None:
    assert isinstance(fails(run, len, threading.Lock()), ArgumentNotSerializable)


def test_an_argument_that_does_not_load_in_the_executor_is_an_error_there(run: Run) -> None:
    here = os.getpid()

    def rebuild() -> None:
        assert os.getpid() == here, "wrong process"

    class Stays:
        def __reduce__(self) -> Any:
            return rebuild, ()

    assert "wrong process" in str(fails(run, len, Stays()))


class Unloadable:
    def __call__(self) -> None: ...

    def __reduce__(self) -> Any:
        return _explode, (os.getpid(),)


def _explode(home: int) -> Unloadable:
    if os.getpid() != home:
        raise ImportError("no such library")
    return Unloadable()


def test_a_function_that_cannot_be_loaded_fails_its_calls() -> None:
    bomb = Unloadable()
    app = App("x")

    @app.function()
    def call() -> None:
        bomb()

    with pytest.raises(SetupFailed, match="no such library"):
        call.remote()
