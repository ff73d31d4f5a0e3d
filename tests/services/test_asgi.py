"""ASGI applications: requests reach them, and none is lost whatever becomes of their processes."""

from __future__ import annotations

import http.client
import os
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as open_websocket

from apothic import BackendError, NotFound, UsageError
from apothic_backends.connection import use
from apothic_backends.registry import open_backend
from tests.services.project import Project, get
from tests.services.served import TRIES

HOMES = ("here", "agent", "rented")
"""Where the processes run: in the care of this program, or of an agent of a server."""

PROGRAM = """
import asyncio, os, sys

FOUND = [name for name in ("apothic.apps", "apothic.services", "uvicorn") if name in sys.modules]

from apothic import App

app = App("demo")

async def serving(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            pass
        return
    path = scope["path"]
    kind = b"text/event-stream" if path == "/events" else b"text/plain"
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]}
    )
    if path == "/events":
        while True:
            await send({"type": "http.response.body", "body": b"data: x\\n\\n", "more_body": True})
            await asyncio.sleep(0.01)
    if path == "/slow":
        await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
        while not os.path.exists(GO):
            await asyncio.sleep(0.01)
    if path == "/die":
        os._exit(3)
    if path == "/late":
        raise ValueError("after the start")
    said = {"/pid": str(os.getpid()), "/state": scope.get("state", {}).get("said", "")}
    said["/found"] = " ".join(FOUND)
    said["/client"] = scope["client"][0]
    body = said.get(path, "VERSION").encode()
    await send({"type": "http.response.body", "body": body})

async def lifespan(scope, receive, send):
    await receive()
    scope["state"]["said"] = "hello"
    await send({"type": "lifespan.startup.complete"})
    await receive()
    open(ENDED, "w").close()
    await send({"type": "lifespan.shutdown.complete"})

@app.asgi(OPTIONS)
def serve():
    print("made")
    return serving
"""


def program(project: Project, version: str = "1", options: str = "") -> str:
    go, ended = project.root.parent / "go", project.root.parent / "ended"
    text = PROGRAM.replace("VERSION", version).replace("OPTIONS", options)
    return text.replace("GO", repr(str(go))).replace("ENDED", repr(str(ended)))


def deploy(project: Project, version: str = "1", options: str = "") -> str:
    """Deploy a version; gives its URL."""
    url = project.deploy(program(project, version, options)).functions["serve"].service_url
    assert url is not None
    return str(url)


def test_a_request_reaches_the_application(project: Project) -> None:
    assert get(deploy(project)) == (200, "1")


def test_before_it_is_deployed_it_has_no_url(project: Project) -> None:
    scope: dict[str, object] = {}
    exec(program(project), scope)
    serve = scope["serve"]

    assert serve.service_url is None  # type: ignore[attr-defined]
    with pytest.raises(NotFound, match="deploy"):
        serve.get_web_url()  # type: ignore[attr-defined]


def test_a_handle_asks_for_the_url(project: Project) -> None:
    url = deploy(project)
    scope: dict[str, object] = {}
    exec(program(project), scope)

    assert scope["serve"].get_web_url() == url  # type: ignore[attr-defined]


async def test_the_url_can_be_awaited(project: Project, anyio_backend: str) -> None:
    scope: dict[str, object] = {}
    exec(program(project), scope)
    await scope["app"].aio.deploy()  # type: ignore[attr-defined]

    url = await scope["serve"].aio.get_web_url()  # type: ignore[attr-defined]

    assert url.startswith("http://127.0.0.1:")


def test_it_takes_no_calls(project: Project) -> None:
    scope: dict[str, object] = {}
    exec(program(project), scope)

    with pytest.raises(UsageError, match="is a service"):
        scope["serve"].remote()  # type: ignore[attr-defined]


def test_it_runs_in_place(project: Project) -> None:
    scope: dict[str, object] = {}
    exec(program(project), scope)

    assert scope["serve"].local() is scope["serving"]  # type: ignore[attr-defined]


def test_its_lifespan_gives_each_request_its_state(project: Project) -> None:
    assert get(deploy(project), "/state") == (200, "hello")


def test_a_process_without_requests_ends_and_its_lifespan_with_it(project: Project) -> None:
    url = deploy(project, options="keep_warm_s=0")
    get(url)

    project.until(lambda it: it.processes == 0)

    assert (project.root.parent / "ended").exists()


def test_the_next_request_wakes_another_process(project: Project) -> None:
    url = deploy(project, options="keep_warm_s=0")
    first = get(url, "/pid")
    project.until(lambda it: it.processes == 0)

    second = get(url, "/pid")

    assert second[0] == 200
    assert second != first


def test_it_knows_who_asks(project: Project) -> None:
    caller = project.caller(deploy(project))
    caller.http.source_address = ("127.0.0.9", 0)  # type: ignore[attr-defined]

    assert caller.get("/client") == "127.0.0.9"


def test_a_page_whose_name_was_pointed_at_this_machine_gets_nothing(project: Project) -> None:
    caller = project.caller(deploy(project))

    status, said = caller.ask("GET", "/", host="evil.example")

    assert (status, "--allow-host" in said) == (403, True)


def test_whoever_asks_as_a_process_comes_to_rest_is_answered(project: Project) -> None:
    url = deploy(project, options="keep_warm_s=0")

    def ask_whenever_it_has_come_to_rest() -> set[str]:
        pids = set[str]()
        for _ in range(10):
            status, pid = get(url, "/pid")
            assert status == 200
            pids.add(pid)
            while project.seen().status == "up":
                pass  # from then on it ends, and has not ended yet
        return pids

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask_whenever_it_has_come_to_rest) for _ in range(2)]
        pids = set.union(*(future.result() for future in asking))

    assert len(pids) > 1


def test_what_it_prints_is_kept(project: Project) -> None:
    get(deploy(project))

    assert any("made" in project.seen().log for _ in range(TRIES))


def test_requests_go_on_through_reloads_over_the_same_connections(project: Project) -> None:
    url = deploy(project)

    def ask_until_the_last_version_answers() -> set[str]:
        caller, heard = project.caller(url), set[str]()
        while "4" not in heard:
            status, said = caller.ask("POST", "/", b"x" * 100)
            assert status == 200
            heard.add(said)
        return heard

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask_until_the_last_version_answers) for _ in range(8)]
        for version in ("2", "3", "4"):
            deploy(project, version)
            project.until(lambda it: it.processes == 1)
        heard = [future.result() for future in asking]

    assert set.union(*heard) <= {"1", "2", "3", "4"}


def test_processes_after_the_first_find_imported_what_they_need(project: Project) -> None:
    found, versions = "", iter(range(1, 1000))
    while found != "apothic.apps apothic.services uvicorn":
        url = deploy(project, str(next(versions)))
        found = get(url, "/found")[1]
        assert found in ("", "apothic.apps apothic.services uvicorn")


def test_the_first_request_after_a_reload_is_answered_by_the_new_version(project: Project) -> None:
    caller = project.caller(deploy(project))
    assert caller.get() == "1"

    deploy(project, "2")
    project.until(lambda it: it.processes == 1)

    assert caller.get() == "2"


def test_a_request_that_has_begun_is_finished_by_its_version(project: Project) -> None:
    url = deploy(project)
    answer = project.caller(url).begin("/slow")
    assert answer.read(6) == b"begun "

    deploy(project, "2")
    while get(url)[1] != "2":
        pass
    (project.root.parent / "go").touch()

    assert answer.read() == b"1"


def test_an_event_stream_ends_in_order_when_its_version_does(project: Project) -> None:
    url = deploy(project)
    answer = project.caller(url).begin("/events")
    assert answer.read(6) == b"data: "

    deploy(project, "2")

    assert answer.read().endswith(b"data: x\n\n")


def test_a_websocket_is_told_that_the_service_restarts(project: Project) -> None:
    url = deploy(project)
    with open_websocket(url.replace("http", "ws")) as websocket:
        websocket.send("hello")
        deploy(project, "2")
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(timeout=30)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012


def test_a_service_with_an_open_websocket_does_not_rest(project: Project) -> None:
    url = deploy(project, options="keep_warm_s=0")
    with open_websocket(url.replace("http", "ws")) as websocket:
        pid = get(url, "/pid")
        websocket.send("still here")

        assert get(url, "/pid") == pid


def test_while_a_new_version_cannot_start_the_old_one_answers(project: Project) -> None:
    url = deploy(project)
    get(url)

    project.deploy(program(project, "2").replace('print("made")', 'raise OSError("no model")'))
    project.until(lambda it: it.stale != "")

    assert get(url) == (200, "1")
    assert "no model" in project.seen().stale


def test_a_service_that_cannot_start_says_so_to_whoever_asks(project: Project) -> None:
    broken = program(project).replace('print("made")', 'raise OSError("no model")')
    url = project.deploy(broken).functions["serve"].service_url

    status, said = get(str(url))

    assert status == 503
    assert "no model" in said


def test_what_is_no_application_is_said_to_be_none(project: Project) -> None:
    broken = program(project).replace("return serving", "return 17")
    url = project.deploy(broken).functions["serve"].service_url

    assert "the function gave 17" in get(str(url))[1]


def test_a_lifespan_that_fails_is_told_with_its_own_words(project: Project) -> None:
    failed = '"type": "lifespan.startup.failed", "message": "no database"'
    broken = program(project).replace('"type": "lifespan.startup.complete"', failed)
    url = project.deploy(broken).functions["serve"].service_url

    assert "no database" in get(str(url))[1]


def test_an_application_that_raises_after_it_has_begun_cuts_the_connection(
    project: Project,
) -> None:
    url = deploy(project)
    answer = project.caller(url).begin("/late")

    with pytest.raises((http.client.IncompleteRead, ValueError)):  # the latter before Python 3.12
        answer.read()


def test_a_process_that_dies_is_replaced_for_the_next_request(project: Project) -> None:
    url = deploy(project)
    with pytest.raises((http.client.IncompleteRead, ValueError)):
        get(url, "/die")

    assert get(url) == (200, "1")


def test_a_stopped_service_listens_no_more_and_comes_back_where_it_was(project: Project) -> None:
    url = deploy(project)
    get(url)

    assert project.stop().url is None
    with pytest.raises(ConnectionRefusedError):
        get(url)
    project.start()

    assert get(url) == (200, "1")


def test_the_next_version_of_a_stopped_service_is_deployed_and_stays_stopped(
    project: Project,
) -> None:
    deploy(project)
    before = project.stop().version

    app = project.deploy(program(project, "2"))

    assert app.functions["serve"].service_url is None
    assert (project.seen().version, project.seen().status) == (before + 1, "stopped")


def test_several_processes_answer_on_one_socket(project: Project) -> None:
    url = deploy(project, options="max_containers=2, concurrent_requests=1")
    held = project.caller(url).begin("/slow")
    held.read(6)

    assert get(url) == (200, "1")
    (project.root.parent / "go").touch()


def test_a_port_that_is_taken_is_told_with_its_holder(project: Project) -> None:
    url = deploy(project)
    project.stop()
    port = int(url.rsplit(":", 1)[1])
    with socket.create_server(("127.0.0.1", port)):
        started = project.start()

    assert started.url not in (None, url)
    assert f"port {port} is taken by process {os.getpid()}" in project.seen().note


def test_a_head_that_is_too_large_is_refused(project: Project) -> None:
    url = deploy(project)
    large = {f"x-{n}": "x" * 8000 for n in range(10)}

    assert project.caller(url).ask("GET", "/", **large)[0] == 431


def test_where_nothing_is_served_its_deployment_says_so(project: Project) -> None:
    inline = open_backend("inline")
    before = use(inline)
    try:
        with pytest.raises(BackendError, match="listens nowhere: the inline backend serves noth"):
            deploy(project)
    finally:
        use(before)
        inline.close()
