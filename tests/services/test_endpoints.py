"""What `@app.endpoint` answers, to real clients."""

from __future__ import annotations

import http.client
from collections.abc import Callable

import pytest
from openapi_spec_validator import validate

from tests.services.served import Served

HOMES = ("here", "agent", "rented")


@pytest.fixture(scope="module")
def served(serve: Callable[[str], Served]) -> Served:
    """The endpoints, deployed."""
    return serve("endpoints")


def test_arguments_come_from_the_query(served: Served) -> None:
    assert served.ask("ask", "/?n=3&tags=a&tags=b").json == {"n": 3, "tags": ["a", "b"]}


def test_arguments_come_from_the_body(served: Served) -> None:
    assert served.ask("ask", method="POST", body={"n": 3}).json == {"n": 3, "tags": None}


def test_a_record_is_the_whole_body(served: Served) -> None:
    assert served.ask("put", method="PUT", body={"name": "a"}).json == [
        {"name": "a", "count": 1},
        {"name": "a", "count": 1},
    ]


def test_a_wrong_request_is_told_where_and_why(served: Served) -> None:
    answer = served.ask("ask", "/?n=abc")

    assert (answer.status, answer.json) == (
        422,
        {
            "detail": [
                {
                    "where": "query.n",
                    "message": 'expected int, got "abc"',
                    "expected": "int",
                    "got": '"abc"',
                }
            ]
        },
    )


def test_a_method_that_is_not_answered_is_told_which_are(served: Served) -> None:
    answer = served.ask("put")

    assert (answer.status, set(answer.headers["allow"].split(", "))) == (405, {"OPTIONS", "PUT"})


def test_head_is_answered_like_get_and_without_a_body(served: Served) -> None:
    answer = served.ask("ask", "/?n=1", "HEAD")

    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "19", b"")


def test_options_says_what_is_answered(served: Served) -> None:
    answer = served.ask("ask", method="OPTIONS")

    assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")


def test_it_answers_at_the_root_alone(served: Served) -> None:
    assert served.ask("ask", "/elsewhere?n=1").status == 404


def test_a_form_is_no_json(served: Served) -> None:
    form = "application/x-www-form-urlencoded"

    assert served.ask("ask", method="POST", data="n=1", content_type=form).status == 415


def test_json_that_cannot_be_read_is_refused(served: Served) -> None:
    kind = "application/json"

    assert served.ask("ask", method="POST", data='{"n": ', content_type=kind).status == 400


def test_a_body_without_end_is_refused(served: Served) -> None:
    pieces = (b" " * (1 << 20) for _ in range(65))
    connection = served.connect("ask")
    try:
        connection.request("POST", "/", pieces, {"content-type": "application/json"})
    except OSError:
        pass  # it did not read on
    answer = connection.getresponse()
    connection.close()

    assert answer.status == 413


def test_a_raw_request_is_given_with_its_body(served: Served) -> None:
    answer = served.ask("raw", method="POST", data=b"\0body", x_word="word ")

    assert (answer.status, answer.body) == (201, b"word \0body")


def test_a_body_that_was_read_for_arguments_can_be_read_again(served: Served) -> None:
    assert served.ask("both", method="POST", body={"n": 1}).json == '1 {"n": 1}'


def test_a_function_without_async_runs_on_a_thread(served: Served) -> None:
    assert served.ask("thread").json is False


def test_an_async_function_runs_on_the_loop(served: Served) -> None:
    assert served.ask("loop").json is True


def test_whoever_asks_is_not_told_what_was_raised(served: Served) -> None:
    answer = served.ask("broken")

    assert (answer.status, answer.json) == (500, {"detail": "Internal Server Error"})


def test_what_was_raised_is_in_the_log(served: Served) -> None:
    served.ask("broken")

    words = "RuntimeError: it is broken"
    assert words in served.log("broken", until=words)


def test_an_http_exception_is_answered_as_it_says(served: Served) -> None:
    answer = served.ask("broken", "/?status=418")

    assert (answer.status, answer.json, answer.headers["x-tea"]) == (
        418,
        {"detail": {"why": "teapot"}},
        "green",
    )


def test_what_is_yielded_is_streamed(served: Served) -> None:
    answer = served.ask("numbers", "/?count=2")

    assert (answer.headers["content-type"], answer.body) == (
        "application/jsonl",
        b'{"n":0}\n{"n":1}\n',
    )


def test_a_browser_gets_events(served: Served) -> None:
    answer = served.ask("numbers", "/?count=1", accept="text/event-stream")

    assert answer.body == b'data: {"n":0}\n\n'


def test_a_stream_that_breaks_off_has_no_clean_end(served: Served) -> None:
    with pytest.raises(http.client.IncompleteRead):
        served.ask("numbers", "/?count=1&fails=true")


def test_it_describes_itself(served: Served) -> None:
    validate(served.ask("put", "/openapi.json").json)


def test_it_goes_on_after_a_reader_who_has_left(served: Served) -> None:
    connection = served.connect("forever")
    connection.request("GET", "/")
    connection.getresponse().read(1 << 20)
    connection.close()

    again = served.connect("forever")
    again.request("GET", "/?pid=true")
    assert again.getresponse().read(3).isdigit()
    again.close()
