"""What every backend does with deployed apps, through the SDK: blocking, on asyncio and on trio."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import apothic
from apothic import App, Deployment, JobStatus, NotFound, PackageRefused, RemoteFunction, UsageError
from apothic.functions import DECLARED
from apothic_backends.connection import connect
from tests.conformance.client import Client, Gate, value_of
from tests.services.placing import standing_in

PROGRAM = """
import os
from pathlib import Path
from apothic import App, Period, RemoteFunction

app = App("demo")

@app.function()
def infer(value: str) -> str:
    return "{version}" + value

@app.function(max_containers=2)
def where() -> tuple[str, str]:
    return os.getcwd(), Path("words.txt").read_text()

@app.function()
def by_name(value: str) -> str:
    return RemoteFunction.from_name("demo", "infer").remote(value)

@app.function()
def items(count: int):
    yield from range(count)

@app.function()
def read(name: str) -> str:
    return Path(name).read_text()
"""


class Project:
    """A project on the disk, whose program can be changed and loaded again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "words.txt").write_text("one two")
        (root / ".gitignore").write_text("ignored*\n__pycache__\n")

    def load(self, version: str = "1", more: str = "") -> App:
        """The app of the program at that version."""
        (self.root / "program.py").write_text(PROGRAM.replace("{version}", version) + more)
        sys.modules.pop("program", None)
        module = ModuleType("program")
        module.__file__ = str(self.root / "program.py")
        sys.modules["program"] = module
        exec(compile((self.root / "program.py").read_text(), "program.py", "exec"), vars(module))
        app: App = module.__dict__["app"]
        return app


@pytest.fixture
def project(client: Client, tmp_path: Path) -> Iterator[Project]:
    with standing_in(tmp_path) as root:
        yield Project(root)


def remote(name: str = "infer") -> RemoteFunction:
    return RemoteFunction.from_name("demo", name)


def forget() -> None:
    """As another program would, know nothing of the functions that were declared here."""
    DECLARED.clear()


def test_a_deployed_app_can_be_called(project: Project) -> None:
    app = project.load()
    deployment_id = app.deploy()
    forget()

    assert deployment_id.startswith("deployments:")
    assert app.functions["infer"].remote("x") == "1x"
    assert remote().remote("x") == "1x"
    assert remote().spawn("y").wait() == "1y"
    assert remote().map(["a", "b"]) == ["1a", "1b"]
    assert list(remote("items").remote_gen(3)) == [0, 1, 2]


async def test_the_same_on_an_event_loop(project: Project) -> None:
    app = project.load()
    deployment_id = await app.aio.deploy()
    forget()

    assert await app.deploy.aio() == deployment_id
    assert await remote().remote.aio("x") == "1x"
    job = await remote().aio.spawn("y")
    assert await job.aio.wait() == "1y"
    assert await remote().map.aio(["a", "b"]) == ["1a", "1b"]
    assert [item async for item in remote("items").aio.remote_gen(3)] == [0, 1, 2]
    it = Deployment.from_id(deployment_id)
    assert (await it.aio.get()).status == "live"
    assert [one.version for one in await it.aio.history()] == [1]
    assert (await it.aio.stop()).status == "stopped"
    assert [one.status for one in await Deployment.list.aio("demo")] == ["stopped"]
    assert await it.aio.rollback() == "deployments:2"
    await Deployment.from_name("demo").aio.delete()
    assert await Deployment.list.aio() == []


def test_deploying_again_changes_something_only_if_something_has_changed(project: Project) -> None:
    app = project.load()
    first = app.deploy()

    assert app.deploy() == first
    (project.root / "ignored.txt").write_text("not shipped")
    assert app.deploy() == first
    (project.root / "words.txt").write_text("three")
    assert app.deploy() != first
    assert [one.version for one in Deployment.from_name("demo").history()] == [2, 1]


def test_calls_go_to_the_next_version_at_once(project: Project) -> None:
    old = project.load("1")
    old.deploy()
    by_name = remote()
    before = by_name.remote("x")
    project.load("2").deploy()

    assert (before, by_name.remote("x"), old.functions["infer"].remote("x")) == ("1x", "2x", "2x")


@pytest.mark.needs("trees")
def test_old_jobs_end_in_the_old_version(project: Project, gate: Gate, client: Client) -> None:
    waiting = """
@app.function()
def waits(gate):
    with open(gate, "rb", buffering=0) as fifo:
        fifo.read(1)
    return infer.raw()("")
"""
    project.load("1", waiting).deploy()
    job, queued = (remote("waits").spawn(gate.path) for _ in range(2))
    project.load("2", waiting).deploy()
    gate.let_go(2)

    assert (job.wait(), queued.wait()) == ("1", "1")
    assert remote().remote("") == "2"


@pytest.mark.needs("trees")
def test_a_rollback_brings_the_old_code_back(project: Project) -> None:
    project.load("1").deploy()
    second = project.load("2").deploy()
    third = Deployment.from_name("demo").rollback()
    history = Deployment.from_id(third).history()

    assert remote().remote("x") == "1x"
    assert [(one.version, one.status, one.of) for one in history] == [
        (3, "live", 1),
        (2, "replaced", None),
        (1, "replaced", None),
    ]
    assert Deployment.from_name("demo").rollback(2) not in (second, third)
    assert remote().remote("x") == "2x"


def test_what_was_stopped_cannot_be_called(project: Project) -> None:
    app = project.load()
    app.deploy()
    by_name = remote()
    by_name.remote("x")
    it = Deployment.from_name("demo").stop()
    forget()

    assert it.status == "stopped"
    for call in (by_name, remote(), app.functions["infer"]):
        with pytest.raises(NotFound):
            call.remote("x")
    app.deploy()
    assert by_name.remote("x") == "1x"


def test_stopping_cancels_queued_jobs(project: Project, gate: Gate) -> None:
    waits = "@app.function()\ndef waits(gate):\n    open(gate, 'rb', buffering=0).read(1)\n"
    project.load("1", waits).deploy()
    queued = [remote("waits").spawn(gate.path) for _ in range(3)][-1]
    Deployment.from_name("demo").stop()
    gate.let_go(3)

    with pytest.raises(apothic.ApothicError, match="cancelled"):
        queued.wait()
    assert queued.status() is JobStatus.CANCELLED


def test_a_drained_stop_lets_them_end(project: Project) -> None:
    project.load().deploy()
    jobs = [remote().spawn("x") for _ in range(3)]
    Deployment.from_name("demo").stop(drain=True)

    assert [job.wait() for job in jobs] == ["1x"] * 3


def test_a_deployment_that_was_deleted_is_not_found(project: Project) -> None:
    deployment_id = project.load().deploy()
    it = Deployment.from_id(deployment_id)
    it.delete()

    for ask in (it.get, it.stop, it.delete, it.history, it.rollback):
        with pytest.raises(NotFound):
            ask()
    assert Deployment.list() == []


def test_a_deployment_can_be_watched(project: Project) -> None:
    deployment_id = project.load("1").deploy()
    with Deployment.from_id(deployment_id).watch(snapshot=True) as events:
        first = next(events)
        project.load("2").deploy()
        second = next(events)
        Deployment.from_id(deployment_id).delete()
        others = [next(events) for _ in range(2)]

    assert first.event == "deployment.snapshot"
    assert (first.data["app_name"], first.data["version"], first.data["status"]) == (
        *("demo", 1, "live"),
    )
    assert set(first.data["functions"]) >= {"infer", "where"}
    assert (second.event, second.data["what"]) == ("deployment.changed", "replaced")
    assert [event.event for event in others][-1] in {"deployment.deleted", "deployment.changed"}


async def test_an_app_tells_of_its_deployments(project: Project) -> None:
    app = project.load("1")
    watch = app.watch()
    deployment_id = await app.aio.deploy()
    event = await anext(watch)

    assert (event.event, event.data["what"]) == ("app.changed", "live")
    assert (event.data["deployment_id"], event.data["version"]) == (deployment_id, 1)


def test_schedules_belong_to_the_deployment(project: Project) -> None:
    from apothic_backends.commands import ListSchedules

    scheduled = (
        "from apothic import Period\n@app.function(schedule=Period(days=1))\ndef daily(): ...\n"
    )

    def due() -> list[str]:
        return [one.function_name for one in connect().start(ListSchedules()).wait()]

    project.load("1", scheduled).deploy()
    before = due()
    project.load("2", scheduled).deploy()
    again = due()
    Deployment.from_name("demo").stop()

    assert (before, again, due()) == (["daily"], ["daily"], [])


# --- where it runs ------------------------------------------------------------------------------


@pytest.mark.needs("trees")
def test_it_runs_in_the_files_that_were_shipped(project: Project) -> None:
    project.load().deploy()
    cwd, words = remote("where").remote()

    assert (words, cwd.startswith(str(project.root))) == ("one two", False)
    assert sorted(path.name for path in Path(cwd).iterdir()) == [
        ".gitignore",
        "program.py",
        "pyproject.toml",
        "words.txt",
    ]


@pytest.mark.needs("trees")
@pytest.mark.needs("files")
def test_a_file_that_is_not_shipped_is_missing_at_home_too(project: Project) -> None:
    (project.root / "ignored.txt").write_text("here")
    app = project.load()
    before = app.functions["read"].remote("ignored.txt")
    app.deploy()

    assert before == "here"
    with pytest.raises(FileNotFoundError) as missing:
        app.functions["read"].remote("ignored.txt")
    assert "apothic package --list" in str(missing.value.__cause__)


@pytest.mark.needs("trees")
def test_a_module_that_is_not_shipped_is_missing_at_home_too(project: Project) -> None:
    (project.root / "ignored_module.py").write_text("")
    app = project.load(more="import ignored_module\n")
    app.deploy()

    with pytest.raises(apothic.SetupFailed, match="apothic package --list"):
        remote().remote("x")


@pytest.mark.needs("trees")
def test_a_module_that_deploys_cannot_be_imported_by_a_worker(project: Project) -> None:
    app = project.load()
    (project.root / "program.py").write_text(
        (project.root / "program.py").read_text() + "app.deploy()\n"
    )
    app.deploy()

    with pytest.raises(apothic.SetupFailed, match="while a worker imports it"):
        remote().remote("x")


def test_code_in_a_worker_finds_deployed_functions(project: Project) -> None:
    project.load().deploy()

    assert remote("by_name").remote("x") == "1x"


async def test_code_in_a_worker_can_operate_deployments(project: Project, client: Client) -> None:
    await project.load().aio.deploy()

    def inside() -> tuple[list[str], str]:
        from apothic import Deployment

        listed = [one.deployment_id for one in Deployment.list()]
        return listed, Deployment.from_name("demo").stop().status

    f = await client.register(inside)
    assert value_of(await client.run(f)) == (["deployments:1"], "stopped")


# --- what is refused ----------------------------------------------------------------------------


def test_an_app_without_functions_is_not_deployed(project: Project) -> None:
    with pytest.raises(UsageError, match="no functions"):
        App("empty").deploy()


def test_a_project_that_cannot_be_shipped_is_not_deployed(project: Project) -> None:
    (project.root / "link").symlink_to("/etc")
    with pytest.raises(PackageRefused):
        project.load().deploy()

    assert Deployment.list() == []


def test_before_a_deploy_functions_are_those_of_this_program(project: Project) -> None:
    app = project.load()

    assert app.functions["infer"].remote("x") == "1x"
    assert remote().remote("x") == "1x"
    forget()
    with pytest.raises(NotFound, match="demo/infer"):
        remote().remote("x")


def test_what_cannot_be_a_deployment_is_refused() -> None:
    for bad in ("", "jobs:1", "deployments:", "deployments:-1", "deployments:x", 7):
        with pytest.raises(UsageError):
            Deployment.from_id(bad)  # type: ignore[arg-type]
    for bad in ("", "a/b", "x" * 65, 7):
        with pytest.raises(UsageError):
            Deployment.from_name(bad)  # type: ignore[arg-type]


def test_what_cannot_be_asked_is_refused(project: Project) -> None:
    project.load().deploy()
    it = Deployment.from_name("demo")
    with pytest.raises(UsageError):
        it.stop(drain="yes")  # type: ignore[arg-type]
    for bad in (0, -1, "1", True):
        with pytest.raises(UsageError):
            it.rollback(bad)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        it.rollback(9)
    with pytest.raises(UsageError):
        it.watch(snapshot=1)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        Deployment.list(7)  # type: ignore[arg-type]
