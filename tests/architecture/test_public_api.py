"""What users import: all of it documented, typed under the same names, and each twin a twin."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_overloads

import pytest

import apothic
from apothic import App, Claim, Deployment, Dict, Job, Queue, Volume
from apothic._twins import twin
from apothic.entries import Get, Pop
from apothic.invocations import Invocable, Remote
from apothic.jobs import Gather
from apothic.maps import Map
from apothic_backends.model.queues import Receipt

NAMES = [name for name in apothic.__all__ if not name.startswith("_")]
STUB = Path(apothic.__file__).with_suffix(".pyi")

app = App("twins")
queue = Queue.from_name("twins")
claim = Claim[None](Receipt("twins", 1, 1, 1), b"")


@app.function
def spam() -> None: ...


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """What a class of ours defines for its users."""
    for base in kind.__mro__:
        if base.__module__.startswith("apothic"):
            yield from (pair for pair in vars(base).items() if not pair[0].startswith("_"))


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_documented(name: str) -> None:
    assert inspect.getdoc(getattr(apothic, name))


@pytest.mark.parametrize("name", [n for n in NAMES if isinstance(getattr(apothic, n), type)])
def test_the_members_of_a_public_class_are_documented(name: str) -> None:
    described = (type, property, twin)
    undocumented = [
        member_name
        for member_name, member in members(getattr(apothic, name))
        if (callable(member) or isinstance(member, described)) and not inspect.getdoc(member)
    ]

    assert undocumented == []


def test_type_checkers_see_the_names_that_programs_see() -> None:
    tree = ast.parse(STUB.read_text("utf-8"))
    imports = (node for node in tree.body if isinstance(node, ast.ImportFrom))
    imported = {alias.asname for node in imports for alias in node.names}
    assigned = {
        node.target.id
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }

    assert (imported | assigned) - {None, "annotations", "__all__"} == set(apothic.__all__)


def test_everything_public_can_be_had() -> None:
    assert [name for name in apothic.__all__ if not hasattr(apothic, name)] == []


@pytest.mark.parametrize(
    ("blocking", "awaited"),
    [
        (spam, spam.aio),
        (Job("jobs:1"), Job("jobs:1").aio),
        (app, app.aio),
        (Deployment("d"), Deployment("d").aio),
        (Volume.from_name("v"), Volume.from_name("v").aio),
        (Dict("d"), Dict("d").aio),
        (queue, queue.aio),
        (claim, claim.aio),
    ],
    ids=["function", "job", "app", "deployment", "volume", "dict", "queue", "claim"],
)
def test_every_method_that_waits_has_a_twin(blocking: Any, awaited: Any) -> None:
    waits = {name for name, member in members(type(blocking)) if isinstance(member, twin)}
    waits |= {"remote", "map", "starmap"} if isinstance(blocking, Invocable) else set()

    assert [name for name in waits if not callable(getattr(awaited, name, None))] == []
    assert {name for name in vars(awaited) if not hasattr(blocking, name)} == set()


@pytest.mark.parametrize("owner", [Invocable, Job, Dict])
def test_a_method_and_its_twin_are_one_procedure(owner: type) -> None:
    for name, member in members(owner):
        if isinstance(member, twin):
            assert getattr(owner, name).procedure.__name__ == name


@pytest.mark.parametrize("way", [Remote, Map, Gather, Get, Pop])
def test_a_way_to_call_and_its_twin_take_the_same_parameters(way: Any) -> None:
    blocking = [inspect.signature(overload) for overload in get_overloads(way.__call__)]
    awaited = [inspect.signature(overload) for overload in get_overloads(way.aio)]

    assert blocking == awaited != []
