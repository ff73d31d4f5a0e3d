"""Every command over HTTP, as a shell asks for it."""

from __future__ import annotations

import base64
import json
import pickle
import socket
import threading
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from apothic_emulator.server import admin, catalog
from tests.server.served import Answer, Served

JSON = [("Content-Type", "application/json")]


def function(server: Served, where: str, **spec: Any) -> str:
    named = {"app_name": "api", "name": where.replace(":", "_"), **spec}
    return str(server.reply("register-function", spec=named, code={"codec": "ref", "data": where}))


def data(*args: Any, **kwargs: Any) -> dict[str, Any]:
    return {"data": {"args": args, "kwargs": kwargs}}


def test_a_function_is_called_with_plain_json(server: Served) -> None:
    add = function(server, "operator:add")

    outcome = server.reply("run-job", function_id=add, arguments=data([1], [2.5, None]))

    assert outcome["status"] == "succeeded"
    assert outcome["result"] == {"codec": "json", "data": [1, 2.5, None]}


def test_what_a_function_is_called_with_is_told_as_it_was_asked(server: Served) -> None:
    add = function(server, "operator:add")
    job = server.reply("submit-job", function_id=add, arguments=data(1, 2))

    assert server.reply("get-job-input", job_id=job)["arguments"]["data"] == {
        "args": [1, 2],
        "kwargs": {},
    }


def test_a_result_that_is_not_plain_is_its_pickle(server: Served) -> None:
    complex_ = function(server, "builtins:complex")

    result = server.reply("run-job", function_id=complex_, arguments=data(1, 2))["result"]

    assert result["codec"] == "pickle5"
    assert pickle.loads(base64.b64decode(result["data"])) == 1 + 2j


def test_what_python_has_pickled_may_be_sent_as_it_is(server: Served) -> None:
    add = function(server, "operator:add")
    pickled = base64.b64encode(pickle.dumps(((1j, 2), {}), 5)).decode()

    outcome = server.reply(
        "run-job", function_id=add, arguments={"codec": "pickle5", "data": pickled}
    )

    assert pickle.loads(base64.b64decode(outcome["result"]["data"])) == 2 + 1j


def test_what_user_code_raises_is_an_outcome_and_no_error(server: Served) -> None:
    int_ = function(server, "builtins:int")

    outcome = server.reply("run-job", function_id=int_, arguments=data("x"))

    assert outcome["status"] == "failed"
    assert outcome["error"]["type_name"] == "ValueError"


def test_items_go_through_a_queue_as_plain_json(server: Served) -> None:
    items = [{"text": "käse", "n": [1, -2, 1 << 40]}, None, "x" * 1000]
    server.reply("open-queue", queue="plain")

    server.reply(
        "put-items", queue="plain", items={"items": [{"data": one} for one in items]}, count=3
    )

    taken = server.reply("take-items", queue="plain", count=3, timeout_s=0)
    assert [one["data"] for one in taken["items"]["items"]] == items


def test_a_dict_is_written_and_read_as_plain_json(server: Served) -> None:
    rev = server.reply("put-key", name="plain", key='"a"', value={"data": {"b": 1}}, create=True)

    (entry,) = server.reply("get-keys", name="plain", keys=['"a"'])

    assert (entry["value"]["data"], entry["rev"]) == ({"b": 1}, rev)


STATUSES: tuple[tuple[str, dict[str, Any], int, str], ...] = (
    ("get-job", {"job_id": "jobs:999999"}, 404, "not_found"),
    ("get-job", {}, 400, "usage"),
    ("get-job", {"job_id": 7}, 400, "usage"),
    ("get-job", {"job_id": "jobs:1", "more": 1}, 400, "usage"),
    ("get-job", {"job_id": None}, 400, "usage"),
    ("take-items", {"queue": "none"}, 404, "not_found"),
    ("read-events", {"topic": "jobs", "after": "x"}, 400, "usage"),
    ("open-queue", {"queue": "a b"}, 400, "invalid_option"),
    ("submit-job", {"function_id": "functions:1", "arguments": 5}, 400, "usage"),
    ("submit-job", {"function_id": "f", "arguments": {"data": [1]}}, 400, "usage"),
    ("submit-job", {"function_id": "f", "arguments": {"codec": "x", "data": "%"}}, 400, "usage"),
    ("put-key", {"name": "d", "key": '"k"', "value": {"codec": "x", "data": "eA=="}}, 400, "usage"),
    ("register-function", {"spec": {"app_name": "a"}, "code": {"data": 1}}, 400, "usage"),
)


@pytest.mark.parametrize(("command", "fields", "status", "code"), STATUSES)
def test_an_error_has_a_status_and_a_code(
    server: Served, command: str, fields: dict[str, Any], status: int, code: str
) -> None:
    answer = server.call(command, **fields)

    assert (answer.status, answer.code) == (status, code)


BODIES = {
    "no JSON": b"{",
    "a list": b"[]",
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep in a field": b'{"job_id":' + b"[" * 400 + b"]" * 400 + b"}",
    "a million digits": b'{"job_id": ' + b"9" * 1_000_000 + b"}",
    "a key twice": b'{"job_id": "jobs:1", "job_id": "jobs:2"}',
    "NaN": b'{"job_id": NaN}',
    "infinity": b'{"job_id": -Infinity}',
    "a large float": b'{"job_id": 1e999}',
    "half a character": b'{"job_id": "\\ud800"}',
    "not UTF-8": b'{"job_id": "\xff"}',
    "UTF-16": '{"job_id": "jobs:1"}'.encode("utf-16"),
}


@pytest.mark.parametrize("what", BODIES)
def test_a_body_that_could_be_read_in_two_ways_is_refused(server: Served, what: str) -> None:
    answer = server.ask("POST", "/v1/get-job", BODIES[what], headers=JSON)

    assert (answer.status, answer.code) == (400, "usage")


def test_a_body_that_is_encoded_is_not_read(server: Served) -> None:
    headers = [*JSON, ("Content-Encoding", "gzip, gzip")]

    assert server.ask("POST", "/v1/get-job", b"{}", headers=headers).status == 415


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(server: Served) -> None:
    head = [
        "POST /v1/put-items HTTP/1.1",
        f"Host: {server.own_host}",
        f"Authorization: Bearer {server.token}",
        "Content-Type: application/json",
        "Content-Length: 9999999999999",
    ]

    answer = server.raw("\r\n".join([*head, "", ""]).encode())

    assert (answer.status, answer.code) == (413, "body_too_large")


def test_a_request_that_comes_again_is_carried_out_once(server: Served) -> None:
    add = function(server, "operator:add")
    body = json.dumps({"function_id": add, "arguments": data(1, 2)}).encode()
    headers = [*JSON, ("Idempotency-Key", "order-17")]

    jobs = {
        server.ask("POST", "/v1/submit-job", body, headers=headers).json["reply"] for _ in range(3)
    }

    assert len(jobs) == 1


def test_another_request_under_the_same_key_is_refused(server: Served) -> None:
    headers = [*JSON, ("Idempotency-Key", "queue-17")]
    server.ask("POST", "/v1/open-queue", b'{"queue": "one"}', headers=headers)

    answer = server.ask("POST", "/v1/open-queue", b'{"queue": "two"}', headers=headers)

    assert (answer.status, answer.code) == (409, "idempotency_conflict")


def test_a_key_that_is_no_name_is_refused(server: Served) -> None:
    headers = [*JSON, ("Idempotency-Key", "a b")]

    assert server.ask("POST", "/v1/open-queue", b'{"queue": "q"}', headers=headers).status == 400


def test_what_is_waited_for_comes_when_it_is_there(server: Served) -> None:
    server.reply("open-queue", queue="later")
    taken: list[Any] = []
    taker = threading.Thread(
        target=lambda: taken.append(server.reply("take-items", queue="later", timeout_s=20))
    )
    taker.start()

    server.reply("put-items", queue="later", items={"items": [{"data": 1}]}, count=1)

    taker.join()
    assert taken[0]["items"]["items"] == [{"codec": "json", "data": 1}]


def test_who_hangs_up_takes_nothing(server: Served) -> None:
    server.reply("open-queue", queue="hung")
    body = json.dumps({"queue": "hung", "timeout_s": None}).encode()
    head = [
        "POST /v1/take-items HTTP/1.1",
        f"Host: {server.own_host}",
        f"Authorization: Bearer {server.token}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    with socket.create_connection((server.host, server.port)) as waiting:
        waiting.sendall("\r\n".join([*head, "", ""]).encode() + body)
        _wait_for_requests(server, 2)
    _wait_for_requests(server, 1)

    server.reply("put-items", queue="hung", items={"items": [{"data": 1}]}, count=1)

    assert server.reply("take-items", queue="hung", timeout_s=0)["count"] == 1


def _wait_for_requests(server: Served, count: int) -> None:
    """Wait until so many requests are under way, the one that asks among them."""
    while (
        f"apothic_open_requests {float(count)}" not in server.ask("GET", "/metrics").body.decode()
    ):
        pass


def test_a_run_that_is_hung_up_on_is_cancelled(server: Served) -> None:
    sleep = function(server, "time:sleep")
    body = json.dumps({"function_id": sleep, "arguments": data(600)}).encode()
    with socket.create_connection((server.host, server.port)) as waiting:
        head = [
            "POST /v1/run-job HTTP/1.1",
            f"Host: {server.own_host}",
            f"Authorization: Bearer {server.token}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        waiting.sendall("\r\n".join([*head, "", ""]).encode() + body)
        job = _running(server, sleep)

    assert server.reply("wait-job", job_id=job)["status"] == "cancelled"


def _running(server: Served, function_id: str) -> str:
    """The id of the one job of a function, once it runs."""
    while True:
        told = server.reply("read-events", topic="jobs", snapshot=True)
        for event in told["events"]:
            about = event["data"]
            if about.get("function_id") == function_id and about.get("status") == "running":
                return str(about["job_id"])


def test_another_account_has_ids_of_its_own(server: Served) -> None:
    add = function(server, "operator:add")
    server.reply("run-job", function_id=add, arguments=data(1, 2))
    other = server.key("run", account="others")

    foreign = server.call("get-job", other, job_id="jobs:1")
    missing = server.call("get-job", other, job_id="jobs:999")

    def without_number(answer: Answer) -> tuple[int, str]:
        return answer.status, answer.body.decode().replace("jobs:999", "jobs:1")

    assert without_number(foreign) == without_number(missing) == (404, foreign.body.decode())


def test_the_document_is_one_that_others_can_read(server: Served) -> None:
    told = server.ask("GET", "/openapi.json").json

    OpenAPIV31SpecValidator(told).validate()


def test_every_command_is_in_the_document(server: Served) -> None:
    told = server.ask("GET", "/openapi.json").json

    named = {path["post"]["operationId"] for path in told["paths"].values() if "post" in path}
    offers = [*catalog.offers().values(), *admin.offers().values()]
    assert named == {offer.kind.__name__ for offer in offers}


def test_what_is_refused_names_the_field(server: Served) -> None:
    answer = server.call("register-function", spec={"app_name": "a", "name": 3}, code={"data": 1})

    assert answer.json["error"]["data"]["field"] == "spec.name"
