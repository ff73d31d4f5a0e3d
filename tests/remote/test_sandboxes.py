"""Handles of sandboxes that reach another account, or a server that was started again."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from apothic import App, Sandbox, SandboxGone
from apothic_backends.connection import use
from tests.remote.serving import ServedBackend, Server

workspace = App("sandboxes").sandbox("plain")


def connected(at: Server, key: str) -> ServedBackend:
    """A client with that key, which is used from now on."""
    backend = ServedBackend(at, key, at.url, lambda: None)
    use(backend)
    return backend


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Whatever was used before is used again."""
    before = use(None)
    yield
    use(before)


def test_a_handle_of_another_account_finds_nothing_even_where_a_number_is_the_same(
    at: Server, key: str, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        at.serve(f"{key}-{name}", tmp_path / name)
    mine = connected(at, f"{key}-one")
    box = workspace.create(name="a")
    process = box.exec("sleep", "1000")
    theirs = connected(at, f"{key}-two")
    own = workspace.create(name="a")
    stolen: Sandbox = pickle.loads(pickle.dumps(box))

    assert own.sandbox_id.split("-")[1] == box.sandbox_id.split("-")[1]
    for call in (
        lambda: stolen.exec("true"),
        stolen.files.list,
        lambda: stolen.session().run("true"),
        stolen.terminate,
        pickle.loads(pickle.dumps(process)).wait,
        lambda: workspace.attach(box.sandbox_id),
    ):
        with pytest.raises(SandboxGone, match="no sandbox"):
            call()
    assert own.exec("true").wait() == 0

    own.terminate()
    use(mine)
    assert box.exec("true").wait() == 0
    box.terminate()
    for backend, name in ((mine, "one"), (theirs, "two")):
        backend.close()
        at.end(f"{key}-{name}")


def test_a_sandbox_does_not_outlive_its_server(at: Server, key: str, tmp_path: Path) -> None:
    at.serve(key, tmp_path)
    first = connected(at, key)
    box = workspace.create(name="a")
    first.close()
    at.end(key)

    at.serve(key, tmp_path)
    again = connected(at, key)
    for call in (lambda: box.exec("true"), lambda: workspace.attach(box.sandbox_id)):
        with pytest.raises(SandboxGone):
            call()
    with workspace.create(name="a") as new:
        assert new.exec("true").wait() == 0
        with pytest.raises(SandboxGone):
            box.exec("true")
    again.close()
    at.end(key)
