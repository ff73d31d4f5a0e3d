"""Requests of strangers: what is understood, what is passed on, and what is refused."""

from __future__ import annotations

import pytest

from apothic_emulator.gateway.heads import MOST_HEAD, Headers
from apothic_emulator.gateway.public import Refused
from apothic_emulator.gateway.requests import Requests

HEAD = b"GET /there HTTP/1.1\r\nhost: here\r\n"
END = b"\r\n"
POST = HEAD.replace(b"GET", b"POST")
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"


class Looks:
    """Lets in whoever shows no key, or one that is good."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    def __call__(self, token: str, headers: Headers) -> Headers:
        self.tokens.append(token)
        if token == "bad":
            raise Refused(401, "unauthorized", "no")
        return [(b"added", b"1")]


def passed(*pieces: bytes) -> bytes:
    """What is passed on of what comes in these pieces."""
    requests = Requests(Looks())
    return b"".join(requests.feed(piece) for piece in pieces)


def seen(headers: bytes) -> str:
    """The key that is seen in these headers."""
    looks = Looks()
    Requests(looks).feed(HEAD + headers + END)
    return looks.tokens[0]


def refused(*pieces: bytes) -> int:
    """The status with which what comes in these pieces is refused."""
    with pytest.raises(Refused) as found:
        passed(*pieces)
    return found.value.status


# --- what is passed on ---------------------------------------------------------------------------


def test_a_request_is_passed_on_with_what_is_added() -> None:
    assert passed(HEAD + b"X: y\r\n" + END) == HEAD + b"x: y\r\nadded: 1\r\n" + END


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_in_however_many_pieces_it_comes(size: int) -> None:
    whole = POST + CHUNKED + b"3\r\nabc\r\n0\r\n\r\n" + HEAD + END

    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]

    assert passed(*pieces).count(b"added: 1") == 2
    assert passed(*pieces).endswith(b"0\r\n\r\n" + HEAD + b"added: 1\r\n" + END)


def test_a_body_of_a_known_length_is_passed_on_as_it_is() -> None:
    assert passed(POST + b"content-length: 3\r\n\r\n", b"a", b"bc").endswith(b"\r\n\r\nabc")


def test_what_comes_after_the_last_chunk_is_left_out() -> None:
    sent = passed(POST + CHUNKED + b"1;name=x\r\na\r\n0\r\nx-forwarded-for: 9.9.9.9\r\n\r\n")

    assert sent.endswith(b"\r\n\r\n1\r\na\r\n0\r\n\r\n")


@pytest.mark.parametrize("said", [b"close", b"keep-alive"])
def test_how_long_the_connection_is_kept_is_passed_on(said: bytes) -> None:
    assert b"\r\nconnection: %b\r\n" % said in passed(HEAD + b"Connection: %b\r\n" % said + END)


def test_no_other_header_is_named_for_the_way_alone() -> None:
    assert b"connection" not in passed(HEAD + b"connection: x-forwarded-for, te\r\n" + END)


def test_an_upgrade_to_something_else_is_no_upgrade() -> None:
    headers = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n"

    sent = passed(HEAD + headers + END + HEAD + END)

    assert (b"h2c" in sent, b"settings" in sent, sent.count(b"added")) == (False, False, 2)


def test_what_follows_the_wish_for_a_websocket_waits() -> None:
    requests = Requests(Looks())

    sent = requests.feed(HEAD + b"connection: upgrade\r\nupgrade: WebSocket\r\n" + END + b"frames")

    assert sent.endswith(b"upgrade: websocket\r\nconnection: upgrade\r\nadded: 1\r\n\r\n")
    assert (requests.is_switching, requests.rest) == (True, b"frames")


def test_it_is_another_request_if_there_comes_no_websocket() -> None:
    requests = Requests(Looks())
    requests.feed(HEAD + b"connection: upgrade\r\nupgrade: websocket\r\n" + END + HEAD)

    requests.rest += END

    assert requests.go_on() == HEAD + b"added: 1\r\n" + END


# --- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        (b"", ""),
        (b"authorization: Bearer apk_1\r\n", "apk_1"),
        (b"Authorization: bearer  apk_1\r\n", "apk_1"),
        (b"apothic-key: apk_1\r\n", "apk_1"),
        (b"apothic_key: apk_1\r\n", "apk_1"),
        (b"apothic-key: apk_1\r\nauthorization: Bearer apk_2\r\n", "apk_1"),
        (b"apothic-key: apk_1\r\napothic-key: apk_1\r\n", ""),
        (b"authorization: Basic apk_1\r\n", ""),
    ],
)
def test_the_one_key_that_is_shown(headers: bytes, token: str) -> None:
    assert seen(headers) == token


@pytest.mark.parametrize(
    "header", [b"authorization: Bearer apk_1", b"Apothic-Key: apk_1", b"APOTHIC_KEY: apk_1"]
)
def test_no_key_is_passed_on(header: bytes) -> None:
    assert b"apk_1" not in passed(HEAD + header + b"\r\n" + END)


def test_what_is_no_key_of_ours_is() -> None:
    assert b"Bearer mine" in passed(HEAD + b"authorization: Bearer mine\r\n" + END)


def test_what_was_let_in_before_is_passed_on_and_nothing_after_it() -> None:
    requests = Requests(Looks())

    sent = requests.feed(HEAD + END + HEAD + b"apothic-key: bad\r\n" + END + HEAD + END)

    assert (sent.count(b"/there"), requests.refused is not None) == (1, True)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"transfer_encoding: chunked\r\n\r\n",
        b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: identity\r\n\r\n",
        b"content-length: +3\r\n\r\nabc",
        b"host: elsewhere\r\n\r\n",
        b"x y: z\r\n\r\n",
        b"x: y\nz: 1\r\n\r\n",
        b"x: y\0\r\n\r\n",
        b": empty\r\n\r\n",
    ],
)
def test_what_can_be_understood_in_two_ways_is_refused(said: bytes) -> None:
    assert refused(POST + said) == 400


@pytest.mark.parametrize(
    "line",
    [
        b"GET http://elsewhere/ HTTP/1.1",
        b"CONNECT elsewhere:443 HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET / HTTP/2.0",
        b"GET / HTTP/0.9",
        b"GET /\r\n",
        b"\x16\x03\x01",
    ],
)
def test_a_request_asks_for_a_path_by_http_1(line: bytes) -> None:
    assert refused(line + b"\r\nhost: here\r\n\r\n") == 400


def test_one_without_a_host_is_refused() -> None:
    assert refused(b"GET / HTTP/1.1\r\n\r\n") == 400


def test_an_old_client_need_not_say_it() -> None:
    assert passed(b"GET / HTTP/1.0\r\n\r\n").startswith(b"GET / HTTP/1.0\r\n")


@pytest.mark.parametrize("count", [1, 2000])
def test_a_head_has_a_largest_size(count: int) -> None:
    line = b"x: " + b"y" * (MOST_HEAD // count + 1) + b"\r\n"

    assert refused(HEAD + line * count + END) == 431


def test_one_that_does_not_end_has_it_too() -> None:
    assert refused(HEAD + b"x: ", *[b"y" * 10_000] * 7) == 431


def test_a_large_body_does_not_count() -> None:
    sent = passed(POST + b"content-length: 100000\r\n\r\n", b"x" * 100_000, HEAD + END)

    assert len(sent) > 100_000
