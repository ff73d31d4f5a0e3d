"""What is tried on a server that runs: by pages, by those who guess, by those who have a key.

| what                                              | where                              |
|---------------------------------------------------|------------------------------------|
| no key, another host or origin, by any method     | `test_guard`                       |
| bodies of forms, markup, keys in addresses        | `test_guard`                       |
| names that are bound anew, where it listens       | here, `test_rebinding` (a browser) |
| where a program without a server listens          | `test_processes`                   |
| keys: wrong, many, revoked, of other scopes       | `test_guard`, `test_keys`, here    |
| agents that speak for others                      | `test_rogue_agents`                |
| files of keys that others may read, or have       | `test_key_cli`, `test_profiles`    |
| keys that would be sent elsewhere, or in the clear| `test_address`, `test_trust`       |
| comparing secrets, and unpickling, in the source  | `test_sources`                     |
| pickles that run something, or are much           | here, `test_programs`, `test_plain`|
| bodies, heads and frames that are none            | here, `test_api`, `test_garbage`   |
| archives and paths                                | `test_archives`, `test_depot`      |
| what is shipped by mistake                        | `test_packaging`                   |
| too much of anything                              | `test_limits`, `test_quotas`       |
| what code in a worker can find of keys            | `test_hiding`                      |
"""

from __future__ import annotations

import http.client
import http.server
import io
import json
import os
import pickle
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from apothic_backends import codec
from apothic_backends.archives import pack
from apothic_backends.commands import Command, RegisterFunction, SubmitJob
from apothic_backends.commands.dicts import AcquireLock, PutKey
from apothic_backends.commands.queues import OpenQueue, PutItems
from apothic_backends.model.errors import ApothicError, UsageError
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_backends.private import read_private
from apothic_backends.remote import frames
from apothic_backends.remote.frames import Hello
from tests.integration.support import descendants, listening
from tests.server.served import Answer, Served

NOBODY = 65534

# --- names that are bound anew --------------------------------------------------------------------


class Page(http.server.BaseHTTPRequestHandler):
    """What the attacker's own server says, at the same port on another address."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<script>the page of the attacker</script>")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def rebound(server: Served) -> Iterator[Callable[[str, dict[str, str]], Answer]]:
    """A browser for which a.test is the attacker's at first, and then this server's address.

    It is no browser but a client that resolves names as the attacker's name server says, and
    that sends what a browser would: one origin all the time, and cookies that it was given.
    """
    attacker = http.server.HTTPServer(("127.0.0.2", server.port), Page)
    thread = threading.Thread(target=attacker.serve_forever, daemon=True)
    thread.start()
    addresses = iter(["127.0.0.2"])

    def fetch(target: str, headers: dict[str, str]) -> Answer:
        address = next(addresses, "127.0.0.1")
        connection = http.client.HTTPConnection(address, server.port, timeout=20)
        method, _, path = target.partition(" ")
        own = {"Host": f"a.test:{server.port}", "Sec-Fetch-Site": "same-origin", **headers}
        connection.request(method, path, headers=own)
        response = connection.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, told, response.read())
        connection.close()
        return answer

    yield fetch
    attacker.shutdown()
    thread.join()
    attacker.server_close()


def test_a_name_that_is_bound_anew_reads_nothing(
    server: Served, rebound: Callable[[str, dict[str, str]], Answer]
) -> None:
    assert b"the attacker" in rebound("GET /", {}).body

    origin = {"Origin": f"http://a.test:{server.port}"}
    tried = ["GET /", "GET /healthz", "GET /openapi.json", "GET /metrics", "POST /v1/list-api-keys"]
    answers = [rebound(what, more) for what in tried for more in ({}, origin)]

    assert {answer.code for answer in answers} == {"bad_host"}
    assert [name for answer in answers for name in answer.headers if "cookie" in name] == []
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    assert rebound("GET /v1/session", {**origin, **upgrade}).status == 403


# --- sockets --------------------------------------------------------------------------------------


def test_with_executors_at_work_it_listens_nowhere_else(server: Served) -> None:
    spec = {"app_name": "sockets", "name": "getpid"}
    code = {"codec": "ref", "data": "os:getpid"}
    function = server.reply("register-function", spec=spec, code=code)
    server.reply("run-job", function_id=function, arguments={"data": {}})

    tree = {server.process.pid, *descendants(server.process.pid)}
    assert len(tree) > 2
    assert listening(tree) == {f"tcp 0100007F:{server.port:04X}"}


# --- keys -----------------------------------------------------------------------------------------


def test_an_agent_whose_key_is_revoked_is_cut_off_within_a_second(server: Served) -> None:
    token = server.key("agent")
    headers = {"Authorization": f"Bearer {token}"}
    with connect(f"ws://{server.own_host}/v1/agent", additional_headers=headers) as agent:
        server.reply("revoke-api-key", key_id=token.split("_")[1])

        with pytest.raises(ConnectionClosed) as closed:
            agent.recv(1.0)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


LOOKED_FOR: dict[str, dict[str, Any]] = {
    "get-job": {"job_id": "{}"},
    "get-job-logs": {"job_id": "{}"},
    "get-job-input": {"job_id": "{}"},
    "cancel-job": {"job_id": "{}"},
    "wait-job": {"job_id": "{}"},
    "read-events": {"topic": "{}", "limit": 1, "snapshot": True},
}


@pytest.mark.parametrize("command", LOOKED_FOR)
def test_what_is_anothers_is_as_if_it_were_not(server: Served, command: str) -> None:
    code = {"codec": "ref", "data": "builtins:len"}
    spec = {"app_name": "mine", "name": "len"}
    function = server.reply("register-function", spec=spec, code=code)
    job = server.reply("submit-job", function_id=function, arguments={"data": {"args": [[]]}})
    other = server.key("run", account="strangers")

    def asked(job_id: str) -> tuple[int, str]:
        fields = {
            name: value.format(job_id) if isinstance(value, str) else value
            for name, value in LOOKED_FOR[command].items()
        }
        answer = server.call(command, other, **fields)
        return answer.status, answer.body.decode().replace(job_id, "")

    assert asked(job) == asked("jobs:987654") != (200, "")
    assert asked(job)[0] == 404


@pytest.mark.parametrize("command", ["run-job", "submit-job", "open-items"])
def test_a_function_of_another_account_is_not_called(server: Served, command: str) -> None:
    code = {"codec": "ref", "data": "builtins:len"}
    function = server.reply("register-function", spec={"app_name": "m", "name": "l"}, code=code)

    answer = server.call(
        command,
        server.key("run", account="strangers"),
        function_id=function,
        arguments={"data": {"args": [[]]}},
    )

    assert (answer.status, answer.code) == (404, "not_found")


def test_an_archive_of_another_account_is_not_there(server: Served) -> None:
    digest = put_archive(server)
    other = server.key("run", account="strangers")

    assert server.reply("has-archive", digest=digest) is True
    assert server.reply("has-archive", other, digest=digest) is False
    assert server.call("get-archive", other, digest=digest, at=0).status == 404


def put_archive(server: Served) -> str:
    """Put the archive of one file; its digest."""
    source, out = server.home / "shipped.py", io.BytesIO()
    source.write_text("x = 1\n")
    digest, data = pack([("shipped.py", source)], out), out.getvalue()
    piece = {"codec": "bytes", "data": b64encode(data).decode()}
    server.reply("put-archive", digest=digest, size=len(data), at=0, data=piece)
    return digest


def test_a_key_in_the_file_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("apk_0_x\n")
    path.chmod(0o600)
    pid = os.fork()
    if not pid:
        os._exit(_reads_as_somebody_else(path))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _reads_as_somebody_else(path: Path) -> int:
    """0 if the key is refused to whoever may read the file, and does not own it."""
    try:
        if os.getuid() == 0:
            os.chown(path, NOBODY, NOBODY)  # whoever may read all is the one to be careful
        read_private(path, "a key")
    except UsageError:
        return 0
    except BaseException:
        return 2
    return int(os.getuid() == 0)


# --- what is pickled ------------------------------------------------------------------------------


WITH_A_PICKLE = """
import os, pickle, sys, threading, time
from pathlib import Path

def unpickle():
    folder = Path(os.environ.pop("FOLDER"))
    while not (folder / "server" / "serving.json").exists():
        time.sleep(0.01)
    try:
        pickle.loads(b"cos\\nsystem\\n.")
        said = "loaded"
    except RuntimeError as error:
        said = str(error)
    (folder / "said.part").write_text(said)
    (folder / "said.part").rename(folder / "said")

threading.Thread(target=unpickle, daemon=True).start()
from apothic.cli import main
sys.argv[1:] = ["serve", "--port", "0", "--no-agent"]
main()
"""


def test_nothing_can_be_unpickled_in_a_server_that_runs(tmp_path: Path) -> None:
    home = {"APOTHIC_HOME": str(tmp_path), "FOLDER": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", WITH_A_PICKLE],
        cwd=tmp_path,
        env={**os.environ, **home},
        stderr=subprocess.DEVNULL,
    )
    try:
        while not (tmp_path / "said").exists():
            assert process.poll() is None
    finally:
        process.terminate()
        process.wait(20)

    assert "unpickles nothing" in (tmp_path / "said").read_text()


class Bomb:
    """What runs when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def pickled(value: object) -> dict[str, str]:
    return {"codec": "pickle5", "data": b64encode(pickle.dumps(value)).decode()}


def test_arguments_code_and_results_run_in_workers_alone(server: Served, tmp_path: Path) -> None:
    spec = {"app_name": "bombs", "name": "raises"}
    exploded = [tmp_path / name for name in ("code", "arguments", "key")]
    code, arguments, value = (pickled(Bomb(str(path))) for path in exploded)

    function = server.reply("register-function", spec=spec, code=code)
    other = server.key("run", account="without-workers")
    elsewhere = server.reply("register-function", other, spec=spec, code=code)
    job = server.reply("submit-job", other, function_id=elsewhere, arguments=arguments)
    server.reply("put-key", other, name="d", key='"k"', value=value, create=True)
    told = server.reply("get-job-input", other, job_id=job)
    server.reply("read-events", other, topic="jobs", snapshot=True)
    server.reply("cancel-job", other, job_id=job)

    assert function
    assert told["arguments"]["data"] == arguments["data"]
    assert [path for path in exploded if path.exists()] == []


def much() -> bytes:
    """A pickle of some hundred bytes that would be gigabytes if it were written out."""
    value: Any = "x" * 100
    for _ in range(30):
        value = [value] * 10
    return pickle.dumps(value, 5)


def test_a_small_pickle_of_much_data_is_told_as_it_is(server: Served) -> None:
    bomb = {"codec": "pickle5", "data": b64encode(much()).decode()}
    server.reply("open-queue", queue="much")
    server.reply("put-items", queue="much", items={"items": [bomb]}, count=1)
    server.reply("put-key", name="much", key='"k"', value=bomb, create=True)

    taken = server.reply("take-items", queue="much", timeout_s=0)
    events = server.reply("read-events", topic="dicts:much", snapshot=True)

    assert taken["items"]["items"] == [bomb]
    assert len(json.dumps(events)) < 10_000


# --- frames ---------------------------------------------------------------------------------------


def head(text: str) -> bytes:
    return len(text).to_bytes(4, "big") + text.encode()


NO_MESSAGES: dict[str, bytes] = {
    "deep": head('{"kind": "ask", "number": 1, "body": ' + "[" * 100_000 + "]" * 100_000 + "}"),
    "deep but whole": head('{"kind": "ask", "number": 1, "body": ' + "[" * 900 + "]" * 900 + "}"),
    "a million digits": head('{"kind": "ask", "number": ' + "9" * 1_000_000 + "}"),
    "a number that is none": head('{"kind": "ask", "number": NaN}'),
    "a key twice": head('{"kind": "ask", "kind": "ask", "number": 1, "number": 1}'),
    "a head that is too long": b"\xff\xff\xff\xff{}",
    "nothing": b"",
    "sizes that are too large": head('{"kind": "ask", "number": 1, "sizes": [1e999]}'),
    "another protocol": b"\x80\x04\x95\x00",
}


@pytest.mark.parametrize("what", NO_MESSAGES)
def test_a_message_that_is_none_ends_its_own_session_alone(server: Served, what: str) -> None:
    with session(server) as one, session(server) as other:
        one.send(NO_MESSAGES[what])

        message = frames.unpack(answer(one))
        assert message.kind == frames.FAIL
        other.send(frames.pack(frames.SEEN, 1, []))
        assert frames.unpack(answer(other)).kind == frames.REPLY


HALF = "\ud800"
HALVES: dict[str, Command[Any]] = {
    "the name of a queue": OpenQueue(HALF),
    "the name of a partition": PutItems("halves", Payload(b"N."), 1, partition=HALF),
    "a key of an item": PutItems("halves", Payload(b"N."), 1, key=HALF),
    "a key": PutKey("halves", f'"{HALF}"', Payload(b"N."), create=True),
    "a candidate": AcquireLock("halves", "lock", '"k"', HALF, HALF, 5.0, 0.0, create=True),
    "the name of a function": RegisterFunction(FunctionSpec("a", HALF), Payload(b"a:b")),
    "the app of a function": RegisterFunction(FunctionSpec(HALF, "f"), Payload(b"a:b")),
    "a codec": PutKey("halves", '"k"', Payload(b"N.", codec=HALF), create=True),
    "a key of a job": SubmitJob("functions:1", Payload(b"N."), key=HALF),
}


@pytest.mark.parametrize("what", HALVES)
def test_half_of_a_character_harms_nobody(server: Served, what: str) -> None:
    server.reply("open-queue", queue="halves")
    code = {"codec": "ref", "data": "builtins:len"}
    server.reply("register-function", spec={"app_name": "h", "name": "l"}, code=code)
    with session(server) as one:
        buffers: list[Any] = []
        body = codec.to_json(HALVES[what], buffers)
        told = {"kind": frames.ASK, "number": 1, "body": body, "once": True}
        told["sizes"] = [len(it) for it in buffers]
        one.send(head(json.dumps(told)) + b"".join(buffers))
        message = frames.unpack(answer(one))

    if message.kind == frames.FAIL:
        assert isinstance(message.value(), ApothicError)
    server.reply("put-key", name="halves", key='"whole"', value={"data": 1}, create=True)
    for topic in ("dicts:halves", "queues:halves", "jobs"):
        server.reply("read-events", topic=topic, snapshot=True)


@contextmanager
def session(server: Served) -> Generator[ClientConnection]:
    """A session of a client that was welcomed."""
    headers = {"Authorization": f"Bearer {server.token}"}
    url = f"ws://{server.own_host}/v1/session"
    with connect(url, additional_headers=headers, max_size=None) as one:
        one.send(frames.pack_record(frames.HELLO, Hello(os.urandom(16).hex(), [])))
        assert frames.unpack(answer(one)).kind == frames.WELCOME
        yield one


def answer(connection: ClientConnection) -> bytes:
    data = connection.recv(20)
    assert isinstance(data, bytes)
    return data


def test_no_token_is_given_to_whoever_comes_from_this_machine(server: Served) -> None:
    """Not even where the address is all that is asked for."""
    with socket.create_connection((server.host, server.port), 20) as sock:
        host = f"Host: {server.own_host}\r\nX-Forwarded-For: 127.0.0.1"
        sock.sendall(f"GET /metrics HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n".encode())
        said = b"".join(iter(lambda: sock.recv(4096), b""))

    assert said.startswith(b"HTTP/1.1 401")
    assert b"apk_" not in said.replace(b"apk_...", b"")
    assert b"cookie" not in said.lower()
