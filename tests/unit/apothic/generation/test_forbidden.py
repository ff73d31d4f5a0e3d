"""Generated code neither reaches into the interpreter nor uses what is not allowed."""

from __future__ import annotations

import pytest

from apothic.generation.imports import DEFAULT_MODULES
from tests.unit.apothic.generation.stubbed import answered, bodied, refused, stub_of


@pytest.mark.parametrize(
    "line",
    [
        "().__class__.__mro__[1].__subclasses__()",
        "type(status).mro()",
        "getattr(status, '__class__')",
        "getattr(getattr(status, '_' + '_class_' + '_'), 'x')",
        "getattr(status, prefix)",
        "get = getattr",
        "list(map(getattr, [status], [prefix]))",
        "setattr(status, '_x', 1)",
        "delattr(status, *['x'])",
        "__builtins__['eval']",
        "__builtins__",
        "globals()['x']",
        "vars()",
        "locals",
        "__import__('os')",
        "f'{status.__class__}'",
        "f'{1:{status.__class__}}'",
        "'{0.__class__}'.format(status)",
        "'{0.real.__class__}'.format(status)",
        "'{x.gi_frame.f_back}'.format(x=status)",
        "'{0.f_back}'.format_map(status)",
        "(x for x in [1]).gi_frame.f_back.f_globals",
        "x = status; x.f_back",
        "class X(str):\n        def __getattribute__(self, name): return name",
        "class X:\n        def __reduce__(self): return print, ()",
        "try:\n        1 / 0\n    except Exception as e:\n        e.__traceback__.tb_frame",
        "import sys; sys.modules",
        "import codecs",
        "import ctypes",
        "import importlib",
        "import statistics; statistics.sys.modules",
        "from random import _os",
        "from json import codecs",
        "import re; re._compiler",
        "from operator import attrgetter as a",
        "import operator; operator.attrgetter(prefix)(status)",
        "import typing; typing.get_type_hints(status)",
        "match status:\n        case object(__class__=x): pass",
        "x = {'__class__': 1}",
        "def __class__(): pass",
        "import re as __builtins__",
        "print(__file__)",
        "exec(status)",
        "compile(status, '', 'exec')",
        "breakpoint()",
        "input()",
        "open(status)",
        "global x; x = 1",
    ],
)
def test_h2_ways_out_of_the_function_are_refused(line: str) -> None:
    assert {finding.rule for finding in refused(bodied(line))} <= {"name", "import"}


@pytest.mark.parametrize(
    "line",
    [
        "getattr(status, 'real', None)",
        "input = status; vars = input",
        "type(status).__name__",
        "f_score = {status: 1}",
        "import re; re.compile('a')",
        "from re import compile",
        "x = '__' + '**bold**' + '__main__'",
        "x = 'a.b.c {0.real} {name}'.format(status, name=1)",
        "class Node:\n        def __lt__(self, other): return self.__init__() < other.n",
        "from collections import namedtuple; P = namedtuple('P', 'x'); P(1)._replace(x=2)",
        "import datetime; datetime.datetime.now(datetime.timezone.utc)",
        "x: dict[str, int] = {}",
    ],
)
def test_what_honest_code_has_is_kept(line: str) -> None:
    assert answered(bodied(line))


@pytest.mark.parametrize(
    ("before", "line", "path"),
    [
        ("import requests", "requests.get(status)", "requests"),
        ("import subprocess", "subprocess.run(['pip', 'install', 'x'])", "subprocess"),
        ("from os import system", "system('pip install x')", "os.system"),
        ("", "import socket", "socket"),
        ("", "from urllib import request", "urllib.request"),
        ("import urllib.request as u", "u.urlopen(status)", "urllib.request"),
        ("import urllib.parse", "urllib.request.urlopen(status)", "urllib.request.urlopen"),
        ("import io", "io.open(status)", "io.open"),
    ],
)
def test_h4_what_is_not_allowed_is_named(before: str, line: str, path: str) -> None:
    (finding,) = refused(f"{before}\n{bodied(line)}")

    assert finding.rule == "import"
    assert finding.text.startswith(f"{path} is not allowed (allowed_modules): use only abc, array")


def test_h4_modules_that_are_given_replace_the_usual_ones() -> None:
    answer = bodied("import json")

    assert "use only numpy" in refused(answer, {"numpy"})[0].text
    assert "use only no module at all" in refused(answer, set())[0].text
    assert answered(answer, {"json"})


def test_h4_part_of_a_module_may_be_allowed() -> None:
    for line in ("import os; os.path.join('a')", "from os import path", "import os.path as p; p"):
        assert answered(bodied(line), {"os.path"})
    for line in ("import os; os.system('a')", "from os import system", "import os; x = os"):
        assert refused(bodied(line), {"os.path"})


def test_h4_pip_in_the_middle_of_code_does_not_compile() -> None:
    assert refused(bodied("!pip install requests"))[0].rule == "syntax"


def test_h4_imports_without_names_are_refused() -> None:
    assert "relative" in refused(f"from . import x\n{bodied()}")[0].text
    assert "relative" in refused(bodied("from ..x import y"))[0].text
    assert "not *" in refused(f"from math import *\n{bodied()}")[0].text


def test_an_import_that_the_body_does_not_need_is_dropped() -> None:
    assert "os" not in answered(f"import os\n{bodied()}").split()


def test_what_the_signature_names_may_be_used_and_no_more() -> None:
    source = "def size(path: os.PathLike, start: Day) -> int:\n    ..."
    stub = stub_of(source, "import os", "from calendar_of_ours import Day")

    assert answered("def size(path): return isinstance(path, os.PathLike) + Day(1)", stub=stub)
    assert "os.stat is not" in refused("def size(path): return os.stat(path)", stub=stub)[0].text


@pytest.mark.parametrize("module", ["io", "os", "pathlib"])
def test_open_is_there_where_files_are_allowed(module: str) -> None:
    assert answered(bodied("open(status)"), {module})


def test_the_usual_modules_do_not_reach_out() -> None:
    assert DEFAULT_MODULES.isdisjoint({"builtins", "importlib", "io", "os", "pickle", "subprocess"})
