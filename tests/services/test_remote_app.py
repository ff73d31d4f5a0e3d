"""`apothic.remote.App`: a service as an operator sees it, blocking and awaited."""

from __future__ import annotations

import pytest

from apothic import NotFound, UsageError
from apothic.remote import App, AppFailed
from tests.services.project import Project, get

HOMES = ("here", "agent", "rented")

PROGRAM = """
from apothic import App

app = App("demo")

async def serving(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})

@app.asgi()
def serve():
    return serving
"""

TWO = (
    PROGRAM
    + """
@app.asgi()
def other():
    return serving
"""
)

BROKEN = PROGRAM.replace("return serving", 'raise OSError("no model")')


def test_an_app_is_found_by_its_name(project: Project) -> None:
    url = project.deploy(PROGRAM).functions["serve"].service_url

    app = App.get(name="demo")

    assert (app.name, app.endpoint, app.revision) == ("demo", url, project.seen().version)
    assert (app.desired_state, app.deployment_status) == ("STARTED", "asleep")
    assert app.is_active()
    assert not app.is_deactivated()


def test_of_an_app_with_several_services_one_has_to_be_named(project: Project) -> None:
    project.deploy(TWO)

    with pytest.raises(UsageError, match="demo/other"):
        App.get("demo")
    assert App.get("demo/serve").name == "demo/serve"


def test_what_is_not_there_is_an_error_that_lists_what_is(project: Project) -> None:
    project.deploy(PROGRAM)

    with pytest.raises(NotFound, match="there are: demo/serve"):
        App.get("nothing")


def test_it_is_started_and_stopped(project: Project) -> None:
    project.deploy(PROGRAM)
    app = App.get("demo")

    app.deactivate(wait=True)
    assert app.is_deactivated()
    assert (app.endpoint, app.desired_state) == (None, "STOPPED")
    app.activate(wait=True)

    assert app.deployment_status == "up"
    assert get(str(app.endpoint)) == (200, "hello")


def test_within_a_block_it_is_up_and_after_that_stopped(project: Project) -> None:
    project.deploy(PROGRAM)
    app = App.get("demo")

    with app.ephemeral_ctx_sync():
        assert get(str(app.endpoint)) == (200, "hello")

    assert app.is_deactivated()


def test_a_block_that_raises_ends_it_too(project: Project) -> None:
    project.deploy(PROGRAM)
    app = App.get("demo")

    with pytest.raises(KeyError), app.ephemeral_ctx_sync():
        raise KeyError

    assert app.is_deactivated()


async def test_all_of_it_can_be_awaited(project: Project, anyio_backend: str) -> None:
    scope: dict[str, object] = {}
    exec(PROGRAM, scope)
    app = await App.create.aio(scope["app"])  # type: ignore[arg-type]

    async with app.ephemeral_ctx():
        assert (await app.watch.aio(wait_for="activated")).deployment_status == "up"
    await app.watch.aio(wait_for="deactivated")

    assert [one.name async for one in App.listall()] == ["demo/serve"]
    await App.delete.aio("demo")
    assert [one.name async for one in App.listall()] == []


def test_a_start_that_fails_is_a_runtime_error(project: Project) -> None:
    project.deploy(BROKEN)
    app = App.get("demo")

    with pytest.raises(RuntimeError, match="no model"):
        app.activate(wait=True)
    with pytest.raises(AppFailed):
        app.watch()


def test_creating_what_is_there_already_changes_nothing(project: Project) -> None:
    app = project.deploy(PROGRAM)
    before = project.seen().version

    assert App.create(app).revision == App.replace(app).revision == before


def test_deleting_what_is_not_there_is_no_error(project: Project) -> None:
    App.delete("nothing")
