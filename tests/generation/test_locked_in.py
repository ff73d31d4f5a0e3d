"""Generated code that means harm, past every check that reads it: the sandbox holds it."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from apothic.generation import trial_run
from tests.generation.conftest import PATIENCE_S, Try, exact, example

KEY = "sk-canary-3f1d0b"

ROUTES = {
    "classes": """
        of = [it for it in ().__class__.__mro__[1].__subclasses__() if it.__name__ == "_wrap_close"]
        modules = of[0].__init__.__globals__["sys"].modules
    """,
    "getattr": """
        modules = getattr(getattr(print, "__se" + "lf__"), "__imp" + "ort__")("sys").modules
    """,
    "builtins": """
        modules = __builtins__["__import__"]("sys").modules
    """,
    "format": """
        import string
        find = string.Formatter().get_field
        modules = find("0.__self__.__import__", [print], {})[0]("sys").modules
    """,
    "generator": """
        def walk():
            yield own[0].gi_frame.f_back.f_back.f_globals["sys"].modules
        own = []
        own.append(walk())
        modules = next(own[0])
    """,
    "traceback": """
        try:
            1 / 0
        except Exception as error:
            modules = error.__traceback__.tb_frame.f_back.f_globals["sys"].modules
    """,
    "codecs": """
        import codecs
        modules = codecs.sys.modules
    """,
    "importlib": """
        import importlib
        modules = importlib.import_module("sys").modules
    """,
    "modules": """
        import sys
        modules = sys.modules
    """,
    "ctypes": """
        import ctypes, sys
        assert ctypes.CDLL(None).getpid() > 0
        modules = sys.modules
    """,
}
"""Ways from a bare function to every module that is loaded."""

HARM = """
def f(canary: str, key: str, port: int, folders: list[str]) -> list[str]:
{route}
    os, glob = modules["os"], __import__("glob").glob
    socket = __import__("socket")
    done = []

    def holds(path, what):
        try:
            return what in open(path, errors="replace").read()
        except OSError:
            return False

    if any(holds(it + canary, "canary") for it in ["", *glob("/proc/*/root")]):
        done.append("canary")
    if key in str(os.environ) or any(holds(it, key) for it in glob("/proc/[0-9]*/[ce][mn][dv]*")):
        done.append("key")
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
        done.append("network")
    except OSError:
        pass
    for folder in folders:
        try:
            open(os.path.join(folder, "escaped"), "w").close()
            done.append(folder)
        except OSError:
            pass
    return done
"""


class World(NamedTuple):
    """What there is to be harmed."""

    folder: str
    canary: str
    port: int


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A file, a key in the environment of this process, and a server of this machine."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    canary = tmp_path / "canary"
    canary.write_text("canary", "utf-8")
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield World(str(tmp_path), str(canary), server.getsockname()[1])


def harmful(route: str) -> str:
    lines = ROUTES[route].strip("\n").splitlines()
    return HARM.format(route="\n".join(line[4:] for line in lines))


def done_without_a_sandbox(code: str, *args: Any) -> str:
    """What it does where nothing holds it."""
    wanted = {"code": code, "name": "f", "example": repr((args, {}, [], True))}
    program = Path(trial_run.__file__).read_text("utf-8")
    ran = subprocess.run(
        [sys.executable, "-I", "-c", program],
        input=json.dumps(wanted).encode(),
        capture_output=True,
        check=True,
        timeout=PATIENCE_S,
    )
    return str(json.loads(ran.stderr)["error"])


@pytest.mark.parametrize("route", ROUTES)
def test_h2_code_that_reaches_everything_of_python_reaches_nothing_of_the_machine(
    attempt: Try, world: World, route: str
) -> None:
    code, args = harmful(route), (world.canary, KEY, world.port)

    done = done_without_a_sandbox(code, *args, [world.folder])
    assert done.startswith(f"it returned ['canary', 'key', 'network', {world.folder!r}]")

    outside = [world.folder, "/", "/usr", "/etc", "/dev", "/proc/sys", str(Path.cwd()), sys.prefix]
    assert attempt(code, exact([], *args, outside)) == ()


def test_h3_a_function_that_was_talked_into_telling_secrets_has_none(
    attempt: Try, world: World
) -> None:
    tell = """
import glob, os, sys
def f() -> list[str]:
    print(dict(os.environ), sys.argv, sys.orig_argv)
    for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
        try:
            print(open(path).read())
        except OSError:
            pass
    return sorted(os.environ)
"""
    known = {"APOTHIC_EXEC_ID", "HOME", "LANG", "PATH", "USER", "VIRTUAL_ENV"}

    (failure,) = attempt(tell, exact(["nothing"]))

    assert KEY not in failure.error
    assert set(re.findall(r"'(\w+)'", failure.error.partition(", but")[0])) <= known


def test_h5_an_example_that_hangs_is_ended_and_the_others_are_left_out(attempt: Try) -> None:
    hang = "def f(x):\n    while True:\n        pass"

    (failure,) = attempt(hang, example(1), example(2), timeout_s=0.3)

    assert failure == ("f(1)", "it had not ended after 0.3 s")


def test_h5_an_example_that_forks_is_ended_with_all_that_it_started(attempt: Try) -> None:
    bomb = """
import os
def f():
    while True:
        try:
            os.fork()
        except OSError:
            pass
"""
    before = {*psutil.Process().children(recursive=True)}

    (failure,) = attempt(bomb, example(), timeout_s=0.5)

    assert failure.error == "it had not ended after 0.5 s"
    assert {*psutil.Process().children(recursive=True)} == before


def test_h5_an_example_that_eats_memory_gets_no_more_than_its_share(attempt: Try) -> None:
    eat = """
def f():
    held = []
    while True:
        held.append(bytes(64 << 20))
"""
    (failure,) = attempt(eat, example())

    assert failure.error.startswith("it raised MemoryError")


def test_h5_of_a_gigabyte_of_output_the_end_is_told(attempt: Try) -> None:
    flood = """
import os
def f():
    block = b"x" * (1 << 20)
    for _ in range(1 << 10):
        os.write(1, block)
    print("the end")
    return f
"""
    (failure,) = attempt(flood, exact(0))

    assert failure.error.endswith("xthe end\n")
    assert len(failure.error) < 4096
