"""Services that are methods of a class: their processes make an object, and answer on it."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from apothic import App, UsageError, concurrent, method
from apothic_backends.model.errors import InvalidOption
from tests.services.project import PATIENCE_S, Project, get
from tests.services.served import port_of

HOMES = ("here", "agent", "rented")

PROGRAM = """
import http.server, threading
from apothic import App, enter, exit, method

app = App("demo")

@app.cls(memory_mb=300, max_containers=1)
class Model:
    size: int = 3

    @enter()
    def load(self):
        self.steps = ["loaded"]
        self.seen = 0

    @enter()
    async def warm(self):
        import asyncio
        self.loop = asyncio.get_running_loop()
        self.steps.append("warm")

    @exit()
    def note(self):
        self.steps.append("left")

    @exit()
    async def leave(self):
        with open(ENDED, "w") as file:
            file.write(" ".join(self.steps))

    @app.endpoint(methods=["GET"])
    async def predict(self, text: str, times: int = 1) -> dict:
        import asyncio
        self.seen += 1
        same = self.loop is asyncio.get_running_loop()
        return {"text": self.doubled(text) * times, "seen": self.seen, "same loop": same}

    def doubled(self, text):
        return 2 * text

    @app.fastapi_endpoint()
    def checked(self, n: int) -> int:
        return n + self.size

    @app.asgi(public=True)
    def web(self):
        async def serving(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": f"asgi {self.size}".encode()})
        return serving

    @app.wsgi_app()
    def old(self):
        def serving(environ, start_response):
            start_response("200 OK", [])
            return [f"wsgi {self.size}".encode()]
        return serving

    @app.web_server(PORT)
    def server(self):
        size = self.size
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(f"server {size}".encode())
        it = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
        threading.Thread(target=it.serve_forever, daemon=True).start()
        return it

    @method()
    def add(self, n):
        return self.size + n
"""


@pytest.fixture
def model(project: Project) -> Any:
    ended = repr(str(project.root / "ended"))
    program = PROGRAM.replace("ENDED", ended).replace("PORT", str(port_of(18790)))
    project.deploy(program)
    return sys.modules["program"].Model


@pytest.fixture
def shop() -> App:
    return App("shop")


def test_an_endpoint_keeps_what_its_object_has(model: Any) -> None:
    url = model().predict.get_web_url()

    answers = [json.loads(get(url, "/?text=ab&times=2")[1]) for _ in range(2)]

    assert [it["seen"] for it in answers] == [1, 2]
    assert answers[0]["text"] == "abababab"


def test_hooks_run_on_the_loop_that_answers(model: Any) -> None:
    assert json.loads(get(model().predict.get_web_url(), "/?text=a")[1])["same loop"] is True


def test_its_parameters_are_checked_without_self(model: Any) -> None:
    status, said = get(model().predict.get_web_url(), "/?times=x")

    assert (status, [it["where"] for it in json.loads(said)["detail"]]) == (
        422,
        ["query.text", "query.times"],
    )


@pytest.mark.parametrize(
    ("name", "path", "said"),
    [("checked", "/?n=4", "7"), ("web", "/", "asgi 3"), ("old", "/", "wsgi 3")],
)
def test_these_shapes_answer_on_an_object(model: Any, name: str, path: str, said: str) -> None:
    assert get(getattr(model(), name).get_web_url(), path) == (200, said)


def test_a_server_of_its_own_is_started_by_an_object(model: Any) -> None:
    assert get(model().server.get_web_url()) == (200, "server 3")


def test_exit_hooks_run_when_it_is_stopped(project: Project, model: Any) -> None:
    get(model().predict.get_web_url(), "/?text=a")

    project.stop("Model.predict")

    assert (project.root / "ended").read_text() == "loaded warm left"


def test_calls_of_the_class_go_on_as_ever(model: Any) -> None:
    assert model(5).add.remote(1, timeout_s=PATIENCE_S) == 6


def test_what_a_hook_raises_is_told_with_the_service(project: Project) -> None:
    project.deploy(
        "from apothic import App, enter\napp = App('demo')\n"
        "@app.cls\nclass Bad:\n"
        "    @enter()\n    def load(self):\n        raise ValueError('no weights')\n"
        "    @app.endpoint()\n    def ask(self):\n        return 1\n"
    )

    assert "no weights" in project.start("Bad.ask").traceback


def test_it_has_the_options_of_its_class_and_its_own_before_those(shop: App) -> None:
    @shop.cls(memory_mb=300, timeout_s=5, max_restarts=2, retries=3)
    class Model:
        @shop.endpoint(timeout_s=7)
        def ask(self) -> int:
            return 1

    spec = shop.functions["Model.ask"].spec()

    assert (spec.memory_mb, spec.timeout_s) == (300, 7.0)


@pytest.mark.parametrize("is_above", [False, True])
def test_it_takes_as_many_at_once_as_its_class(shop: App, is_above: bool) -> None:
    class Model:
        @shop.endpoint()
        def ask(self) -> int:
            return 1

    mark = concurrent(max_inputs=5)
    _ = mark(shop.cls(Model)) if is_above else shop.cls(mark(Model))

    assert shop.functions["Model.ask"].spec().concurrent_requests == 5


def test_a_class_of_services_alone_is_none_that_is_called(shop: App) -> None:
    @shop.cls
    class Model:
        @shop.endpoint()
        def ask(self) -> int:
            return 1

    assert [*shop.functions] == ["Model.ask"]


def test_in_place_it_runs_on_an_object_of_its_own(shop: App) -> None:
    @shop.cls
    class Model:
        size: int = 2

        @shop.endpoint()
        def ask(self, n: int) -> int:
            return n * self.size

    assert Model().ask.local(4) == 8


def test_an_object_calls_it_as_the_plain_method(shop: App) -> None:
    @shop.cls
    class Model:
        @shop.endpoint()
        def ask(self, n: int) -> int:
            return n + 1

        @method()
        def twice(self, n: int) -> Any:
            return self.ask(self.ask(n))

    assert Model().twice.local(1) == 3


def test_a_base_class_brings_its_services_along(shop: App) -> None:
    class Base:
        @shop.endpoint()
        def ask(self) -> int:
            return 1

    @shop.cls
    class Model(Base):
        pass

    assert [*shop.functions] == ["Model.ask"]


def test_one_whose_class_does_not_live_elsewhere_is_refused_at_deployments(shop: App) -> None:
    class Model:
        @shop.endpoint()
        def ask(self) -> int:
            return 1

    del Model
    with pytest.raises(UsageError, match=r"put @app.cls above Model"):
        shop.deploy()


def test_a_constructor_that_needs_something_is_refused(shop: App) -> None:
    class Model:
        def __init__(self, path: str) -> None:
            self.path = path

        @shop.endpoint()
        def ask(self) -> int:
            return 1

    with pytest.raises(UsageError, match=r"Model.ask\(\) is a service.* give path a default"):
        shop.cls(Model)


@pytest.mark.parametrize("made", [lambda it: it.named("a"), lambda it: it(5)])
def test_one_of_certain_objects_is_refused(shop: App, made: Any) -> None:
    @shop.cls
    class Model:
        size: int = 3

        @shop.endpoint()
        def ask(self) -> int:
            return 1

    with pytest.raises(UsageError, match=r"Model\(\)\.ask"):
        _ = made(Model).ask


def test_an_option_that_is_for_calls_is_refused_where_it_is_said(shop: App) -> None:
    class Model:
        @shop.endpoint(retries=3)
        def ask(self) -> int:
            return 1

    with pytest.raises(InvalidOption, match="retries is for calls"):
        shop.cls(Model)


def test_a_method_that_gives_an_application_takes_nothing_else(shop: App) -> None:
    class Model:
        def ask(self, path: str) -> str:
            return path

    with pytest.raises(UsageError, match="takes path"):
        shop.asgi()(Model.ask)
