from __future__ import annotations

import array
import importlib.util
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

from apothic import App, ArgumentNotSerializable, ResultDeserializeError
from apothic._code import is_importable, preload
from apothic._serialize import OUT_OF_BAND, decode_outcome, encode_arguments, encode_code
from apothic.functions import Declared
from apothic_backends.model.jobs import JobOutcome, JobStatus
from apothic_backends.model.payloads import Payload
from tests.unit.apothic.threads import load

app = App("serialize")


def plain(settings: object, number: int = 0) -> object:
    return (settings, number)


@app.function
def countdown(number: int) -> int:
    return countdown(number - 1) if number else 0


@app.function(cpu=2)
def other(number: int) -> int:
    return number


SCRIPT = """
from __future__ import annotations

import apothic

app = apothic.App("script")
FACTOR = 3


class Point:
    def __init__(self, x):
        self.x = x


@app.function
def scale(number):
    return number * FACTOR


@app.function
def down(number):
    return down.local(number - 1) if number else scale(2)


@app.function
def with_app(number):
    return app.functions["scale"](number)


@app.local_entrypoint
def main():
    pass


def point(x):
    return Point(x)
"""


@pytest.fixture
def script(tmp_path: Path) -> Iterator[ModuleType]:
    """A module that no other process finds."""
    path = tmp_path / "nowhere_to_be_found.py"
    path.write_text(SCRIPT)
    spec = importlib.util.spec_from_file_location("nowhere_to_be_found", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop(spec.name, None)


def arguments_of(*args: Any, **kwargs: Any) -> Payload:
    return encode_arguments(lambda: plain, args, kwargs)


def reloaded(function: Any) -> Any:
    """The function as another process without its module gets it."""
    code = encode_code(function.raw())
    module = sys.modules.pop("nowhere_to_be_found")
    try:
        return load(code)
    finally:
        sys.modules["nowhere_to_be_found"] = module


def test_a_function_of_a_module_travels_by_its_address() -> None:
    payload = encode_code(countdown.raw())

    assert (payload.codec, payload.data) == ("ref", f"{__name__}:countdown.__wrapped__".encode())
    assert load(payload) is countdown.raw()


def test_what_has_no_address_travels_by_value() -> None:
    offset = 5

    def nested(number: int) -> int:
        return number + offset

    payload = encode_code(nested)

    assert payload.codec == "pickle5"
    assert load(payload)(1) == 6


def shadowed() -> int:
    return 1


def test_a_function_whose_name_means_another_one_travels_by_value() -> None:
    namesake = FunctionType(shadowed.__code__, globals(), "shadowed")

    assert encode_code(shadowed).codec == "ref"
    assert encode_code(namesake).codec == "pickle5"


def test_a_module_that_nobody_finds_is_not_importable(script: ModuleType) -> None:
    assert not is_importable(script.__name__)
    assert not is_importable("__main__")
    assert is_importable("os")
    assert is_importable(__name__)


def test_a_function_of_a_script_brings_its_globals(script: ModuleType) -> None:
    assert reloaded(script.scale)(2) == 6


def test_a_function_of_a_script_may_refer_to_its_own_handle(script: ModuleType) -> None:
    assert reloaded(script.down)(3) == 6


def test_an_app_travels_with_its_functions_and_without_its_entrypoints(script: ModuleType) -> None:
    loaded = reloaded(script.with_app)

    assert loaded(2) == 6
    assert loaded.__globals__["app"].entrypoints == {}


def test_an_instance_of_a_scripts_class_travels_by_value(script: ModuleType) -> None:
    encode_code(script.scale.raw())

    payload = arguments_of(script.Point(3))

    module = sys.modules.pop(script.__name__)
    args, _ = pickle.loads(payload.data)
    sys.modules[script.__name__] = module
    assert args[0].x == 3


def test_a_handle_of_a_module_travels_by_address() -> None:
    data = pickle.dumps(other)

    again = pickle.loads(data)

    assert b"countdown" not in data
    assert again.raw() is other.raw()
    assert again.options == other.options
    assert again.code() == other.code()
    assert again.spec() == other.spec()


def test_a_changed_handle_travels_by_address_too() -> None:
    changed = other.with_options(cpu=7, wait_timeout_s=3)

    again = pickle.loads(pickle.dumps(changed))

    assert isinstance(again, Declared)
    assert again.options.get("cpu") == 7
    assert again.raw()(3) == 3
    assert again.__wrapped__ is other.raw()


def test_large_buffers_travel_beside_the_pickle_without_a_copy() -> None:
    small, large = bytearray(8), bytearray(OUT_OF_BAND)

    payload = arguments_of(pickle.PickleBuffer(small), pickle.PickleBuffer(large))
    large[0] = 7

    assert [bytes(buffer)[0] for buffer in payload.buffers] == [7]
    payload.own()
    large[0] = 8
    args, _ = pickle.loads(payload.data, buffers=payload.buffers)
    assert args[1][0] == 7


class Table:
    def __init__(self, lock: object) -> None:
        self.lock = lock


@pytest.mark.parametrize(
    ("args", "kwargs", "path"),
    [
        ((threading.Lock(),), {}, "settings"),
        ((1,), {"number": threading.Lock()}, "number"),
        (([0, {"a": threading.Lock()}],), {}, "settings[1]['a']"),
        ((Table(threading.Lock()),), {}, "settings.lock"),
        ((1, 2, threading.Lock()), {}, "argument 3"),
    ],
)
def test_an_argument_that_cannot_travel_is_named(
    args: tuple[Any, ...], kwargs: dict[str, Any], path: str
) -> None:
    with pytest.raises(ArgumentNotSerializable) as caught:
        arguments_of(*args, **kwargs)

    assert caught.value.data["path"] == path
    assert f"plain(): {path} is a lock" in caught.value.message


def test_a_function_that_cannot_travel_says_why() -> None:
    lock = threading.Lock()

    def holds() -> object:
        return lock

    with pytest.raises(ArgumentNotSerializable, match=r"holds cannot be sent.*lock"):
        encode_code(holds)


def test_a_result_that_cannot_be_rebuilt_says_that_the_job_succeeded() -> None:
    outcome = JobOutcome("jobs:1", JobStatus.SUCCEEDED, result=Payload(b"\x80\x05cno\nwhere\n."))

    with pytest.raises(ResultDeserializeError, match="jobs:1 succeeded, but"):
        decode_outcome(outcome)


def test_a_shared_result_is_a_copy_each_time() -> None:
    buffer = bytearray(b"x" * OUT_OF_BAND)
    data = pickle.dumps(pickle.PickleBuffer(buffer), 5, buffer_callback=lambda _: None)
    outcome = JobOutcome("jobs:1", JobStatus.SUCCEEDED, result=Payload(data, (buffer,)))

    first = decode_outcome(outcome, is_shared=True)
    first[0] = 0

    assert decode_outcome(outcome, is_shared=True)[0] == ord("x")


def uses_array() -> object:
    return array.array("b")


def test_preload_names_installed_modules_and_none_of_the_project() -> None:
    names = preload(uses_array)

    assert "pytest" in names
    assert not {"pickle", "threading"} & set(names)  # they come with Python, and cost little
    assert not {"apothic", "tests", "apothic_backends", "sys", "builtins"} & set(names)


def loud(function: Callable[[str], str]) -> Callable[[str], str]:
    @wraps(function)
    def inner(text: str) -> str:
        return function(text).upper()

    return inner


@app.function
@loud
def shout(text: str) -> str:
    return text


def test_a_decorator_between_the_app_and_the_function_is_kept() -> None:
    assert load(encode_code(shout.raw()))("a") == "A"
