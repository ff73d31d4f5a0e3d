"""Applications of FastAPI, of WSGI, and of ASGI that do what they should not, with real clients."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable

import pytest

from tests.services.served import Served

HOMES = ("here", "agent", "rented")


@pytest.fixture(scope="module")
def served(serve: Callable[[str], Served]) -> Served:
    """The applications, deployed."""
    return serve("frameworks")


# --- FastAPI ------------------------------------------------------------------------------------


def test_fastapi_answers_get_where_nothing_is_said(served: Served) -> None:
    assert served.ask("square", "/?x=3").json == {"square": 9}


def test_fastapi_refuses_other_methods(served: Served) -> None:
    assert served.ask("square", "/?x=3", "POST").status == 405


def test_fastapi_takes_models(served: Served) -> None:
    assert served.ask("move", method="POST", body={"x": 1}).json == {"x": 0, "y": 1}


def test_fastapi_shows_no_documents_by_default(served: Served) -> None:
    assert [served.ask("square", path).status for path in ("/docs", "/openapi.json")] == [404, 404]


def test_fastapi_shows_its_documents_where_they_are_wanted(served: Served) -> None:
    assert served.ask("move", "/docs").status == 200


def test_a_page_of_any_origin_may_ask_fastapi(served: Served) -> None:
    answer = served.ask("square", "/?x=3", origin="https://there.example")

    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_no_page_may_ask_fastapi_as_whoever_looks_at_it(served: Served, method: str) -> None:
    asked = {"access-control-request-method": "GET", "cookie": "a=b"}
    answer = served.ask("square", "/?x=3", method, origin="https://there.example", **asked)

    assert answer.status == 200
    assert "access-control-allow-credentials" not in answer.headers


# --- WSGI ---------------------------------------------------------------------------------------


def test_flask_streams_what_it_generates(served: Served) -> None:
    assert served.ask("flask", "/lines").body == b"0\n1\n2\n"


def test_flask_reads_a_body_without_a_length(served: Served) -> None:
    pieces = (b"x" * 100_000 for _ in range(20))

    assert served.ask("flask", "/size", "POST", data=pieces).json == {"size": 2_000_000}


def test_wsgi_is_told_of_the_request(served: Served) -> None:
    answer = served.ask("plain", "/a%20b?c=d", x_word="word")

    assert answer.body == b"GET /a b c=d word HTTP/1.1"


def test_a_body_that_nobody_reads_is_no_matter(served: Served) -> None:
    assert served.ask("plain", "/unread", "POST", data=b"x" * 2_000_000).body == b"no need"


def test_wsgi_may_answer_otherwise_until_it_has_begun(served: Served) -> None:
    assert served.ask("plain", "/replaced").status == 503


def test_wsgi_may_write_by_hand(served: Served) -> None:
    assert served.ask("plain", "/written").body == b"by hand"


def test_wsgi_reads_line_by_line(served: Served) -> None:
    assert served.ask("plain", "/line", "POST", data=b"one\ntwo\n").body == b"one\n"


def test_a_wsgi_answer_that_breaks_off_has_no_clean_end(served: Served) -> None:
    with pytest.raises(http.client.IncompleteRead):
        served.ask("plain", "/broken")


def test_readers_who_leave_free_their_threads(served: Served) -> None:
    for _ in range(300):  # more than there are threads
        connection = served.connect("plain")
        connection.request("GET", "/endless")
        connection.getresponse().read(10)
        connection.close()

    assert served.ask("plain", "/written").status == 200


def test_what_is_no_wsgi_app_is_told_so(served: Served) -> None:
    answer = served.ask("none")

    assert (answer.status, b"gave 3, which is no WSGI app" in answer.body) == (503, True)


# --- ASGI applications that do what they should not ---------------------------------------------


@pytest.mark.parametrize("path", ["/early?0", "/silent?0", "/unknown?0"])
def test_an_application_that_does_not_speak_asgi_is_a_bad_gateway(
    served: Served, path: str
) -> None:
    answer = served.ask("odd", path)

    assert (answer.status, answer.body[:15]) == (502, b"the application")


def test_a_header_that_has_lines_of_its_own_is_not_sent(served: Served) -> None:
    try:
        answer = served.ask("odd", "/header?0")
    except http.client.RemoteDisconnected:
        return  # which a gateway tells in its own words

    assert (answer.status, "set-cookie" in answer.headers) == (502, False)


def test_an_application_that_raises_before_it_has_begun_has_failed(served: Served) -> None:
    assert served.ask("odd", "/raises?0").status == 500


def test_what_an_application_did_wrong_is_in_its_log(served: Served) -> None:
    served.ask("odd", "/early?0")

    words = "Expected ASGI message 'http.response.start'"
    assert words in served.log("odd", until=words)


def test_an_asgi_answer_that_breaks_off_has_no_clean_end(served: Served) -> None:
    with pytest.raises(http.client.IncompleteRead):
        served.ask("odd", "/broken?0")


def test_an_answer_of_any_size_takes_little_memory(served: Served) -> None:
    before = int(served.ask("odd", "/?0").body)
    connection = served.connect("odd")
    connection.request("GET", "/?1024")
    answer = connection.getresponse()
    tail = b""
    while piece := answer.read(1 << 20):
        tail = piece[-20:]
    connection.close()

    assert int(tail.lstrip(b"x")) - before < 64 * 1024  # kB, of a gigabyte


def test_an_application_that_cannot_start_says_why(served: Served) -> None:
    assert b"RuntimeError: no database" in served.ask("fails").body


def test_an_application_that_never_starts_is_given_up(served: Served) -> None:
    assert served.ask("hangs").status == 503


def test_one_that_sends_half_a_request_keeps_nobody_waiting(served: Served) -> None:
    waiting = served.connect("square")
    waiting.connect()
    assert isinstance(waiting.sock, socket.socket)
    waiting.sock.sendall(b"GET / HT")

    assert served.ask("square", "/?x=2").status == 200
    waiting.close()
