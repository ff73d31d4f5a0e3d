"""The door towards elsewhere: who gets past it, over real sockets."""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress

import pytest
import trustme

from apothic_emulator.executors.web.door import taken_over
from apothic_emulator.executors.web.loops import new_event_loop
from apothic_emulator.gateway import fronts, paces, visits
from apothic_emulator.gateway.fronts import Front
from apothic_emulator.gateway.proxies import Proxy
from apothic_emulator.gateway.public import Pass, Public, Refused

HEAD = b"GET / HTTP/1.1\r\nhost: here\r\n"
GOOD = HEAD + b"apothic-key: apk_good\r\n\r\n"
BAD = HEAD + b"\r\n"
BODY = HEAD + b"apothic-key: apk_good\r\ncontent-length: 10000000\r\n\r\n"
SOCKET = HEAD + b"apothic-key: apk_good\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
PATIENCE_S = 20.0


def admit(token: str, _address: str) -> Pass:
    if token not in ("apk_good", "apk_brief"):
        raise Refused(401, "unauthorized", "no")
    return Pass("good", math.inf) if token == "apk_good" else Pass("brief", 0.3)


class Entrance:
    """A front, and what is put through it."""

    def __init__(
        self, *, most: int = 100, tls: ssl.SSLContext | None = None, proxy: Proxy | None = None
    ) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.inlet, putting = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for each in (self.inlet, putting, self.listener):
            each.setblocking(False)
        public = Public("127.0.0.1", socket.AF_INET, "here", tls, range(0), admit, most, proxy)
        self.front = Front("demo/web", self.listener, putting, public, is_open=False)
        self.clients: list[asyncio.StreamWriter] = []
        self.services: list[asyncio.StreamWriter] = []

    async def client(self, *said: bytes) -> asyncio.StreamReader:
        """Somebody who says that; what they hear."""
        port = self.listener.getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self.clients.append(writer)
        for piece in said:
            writer.write(piece)
        return reader

    async def service(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The next connection that comes through."""
        loop = asyncio.get_running_loop()
        come = loop.create_future()
        loop.add_reader(self.inlet, lambda: come.done() or come.set_result(None))
        await asyncio.wait_for(come, PATIENCE_S)
        loop.remove_reader(self.inlet)
        [(taken, self.said)] = taken_over(self.inlet)
        reader, writer = await asyncio.open_connection(sock=taken)
        self.services.append(writer)
        return reader, writer

    @property
    def is_empty(self) -> bool:
        """Whether nobody has come through."""
        return not list(taken_over(self.inlet))


@asynccontextmanager
async def entrance(**how: object) -> AsyncGenerator[Entrance]:
    it = Entrance(**how)  # type: ignore[arg-type]
    try:
        yield it
    finally:
        it.front.close()
        it.front.abort()
        it.inlet.close()
        for each in (*it.clients, *it.services):
            each.close()
            with suppress(ConnectionError):
                await each.wait_closed()


def run(test: Callable[[], Coroutine[None, None, None]]) -> None:
    """On the loop that the gateway has."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(asyncio.wait_for(test(), 3 * PATIENCE_S))


async def heard(reader: asyncio.StreamReader, end: bytes = b"\r\n\r\n") -> bytes:
    return await reader.readuntil(end)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the connection is gone, in whichever way."""
    got = b""
    with suppress(ConnectionResetError):
        while piece := await reader.read(1000):
            got += piece
    return got


def test_who_is_let_in_is_taken_to_the_service_and_back() -> None:
    async def test() -> None:
        async with entrance() as it:
            client = await it.client(GOOD)
            asked, answer = await it.service()
            request = await heard(asked)
            answer.write(OK)

            assert (request.startswith(HEAD), await heard(client, b"ok")) == (True, OK)
            assert it.said.startswith(b"http 127.0.0.1 ")

    run(test)


FLY = Proxy("https://here.example", b"fly-client-ip")


def by(client: str, *claims: bytes) -> bytes:
    """A request as a proxy passes it on for a client."""
    told = [b"fly-client-ip: " + client.encode(), b"x-forwarded-proto: https", *claims]
    return b"".join([HEAD, b"apothic-key: apk_good\r\n", *(it + b"\r\n" for it in told), b"\r\n"])


@pytest.mark.parametrize(
    ("proxy", "said", "told"),
    [
        (FLY, by("203.0.113.9", b"x-forwarded-for: 9.9.9.9"), b"https 203.0.113.9 0 *,MANY"),
        (FLY, by("2001:db8::9"), b"https 2001:db8::9 0 *,MANY"),
        (FLY, by("9.9.9.9", b"fly-client-ip: 203.0.113.9"), b"https 203.0.113.9 0 *,MANY"),
        (FLY, by("9.9.9.9\x85 203.0.113.9"), b"https 127.0.0.1 "),
        (FLY, GOOD, b"https 127.0.0.1 "),
        (FLY._replace(header=b""), by("9.9.9.9"), b"https 127.0.0.1 "),
        (None, by("9.9.9.9"), b"http 127.0.0.1 "),
    ],
    ids=["told", "by IPv6", "the last counts", "nonsense", "untold", "not believed", "no proxy"],
)
def test_a_proxy_says_who_asks_and_nobody_else(
    proxy: Proxy | None, said: bytes, told: bytes
) -> None:
    async def test() -> None:
        async with entrance(proxy=proxy) as it:
            await it.client(said)
            asked, _ = await it.service()
            scheme, address = told.split(b" ")[:2]

            head = await heard(asked)

            assert it.said.startswith(told)
            assert head.endswith(
                b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\n\r\n" % (address, scheme)
            )
            assert head.count(b"x-forwarded-for") == 1

    run(test)


def test_each_request_is_of_the_client_that_the_proxy_says() -> None:
    async def test() -> None:
        async with entrance(proxy=FLY) as it:
            client = await it.client(by("203.0.113.9"))
            asked, answer = await it.service()
            await heard(asked)
            answer.write(OK)
            await heard(client, b"ok")

            it.clients[0].write(by("203.0.113.10"))

            assert b"x-forwarded-for: 203.0.113.10\r\n" in await heard(asked)

    run(test)


def test_a_client_has_so_many_connections_by_a_proxy_and_others_have_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fronts, "MOST_OF_CLIENT", 1)

    async def answered(it: Entrance, client: str) -> tuple[asyncio.StreamReader, ...]:
        reader = await it.client(by(client))
        asked, answer = await it.service()
        await heard(asked)
        answer.write(OK)
        await heard(reader, b"ok")
        return reader, asked

    async def test() -> None:
        async with entrance(proxy=FLY) as it:
            first, asked = await answered(it, "203.0.113.9")
            refused = await it.client(by("203.0.113.9"))
            assert (await heard(refused)).startswith(b"HTTP/1.1 429 ")
            await ended(refused)
            other, _ = await answered(it, "203.0.113.10")

            it.clients[0].write(by("203.0.113.11"))
            await heard(asked)  # it is another client's now
            await answered(it, "203.0.113.9")
            it.clients[2].write(by("203.0.113.9"))
            assert (await heard(other)).startswith(b"HTTP/1.1 429 ")

            it.services[0].close()
            await ended(first)
            await answered(it, "203.0.113.11")

    run(test)


def test_nothing_comes_through_before_a_request_was_let_in() -> None:
    async def test() -> None:
        async with entrance() as it:
            client = await it.client(BAD)
            assert (await heard(client)).startswith(b"HTTP/1.1 401 ")

            assert it.is_empty

    run(test)


def test_a_later_request_that_is_refused_does_not_come_through() -> None:
    async def test() -> None:
        async with entrance() as it:
            client = await it.client(GOOD)
            asked, answer = await it.service()
            await heard(asked)
            answer.write(OK)
            await heard(client, b"ok")

            it.clients[0].write(BAD)

            assert (await heard(client)).startswith(b"HTTP/1.1 401 ")
            await ended(client)
            it.clients[0].close()
            assert await asked.read() == b""

    run(test)


def test_a_refusal_does_not_stand_amid_another_answer() -> None:
    async def test() -> None:
        async with entrance() as it:
            client = await it.client(GOOD + BAD)

            assert await ended(client) == b""

    run(test)


def test_a_head_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits, "HEAD_S", 0.05)

    async def test() -> None:
        async with entrance() as it:
            client = await it.client(HEAD)

            assert (await heard(client)).startswith(b"HTTP/1.1 408 ")

    run(test)


def test_one_that_comes_late_after_another_request_is_not_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test() -> None:
        async with entrance() as it:
            client = await it.client(GOOD)
            asked, answer = await it.service()
            await heard(asked)
            answer.write(OK)
            await heard(client, b"ok")
            monkeypatch.setattr(visits, "HEAD_S", 0.05)

            it.clients[0].write(HEAD)

            assert (await heard(client)).startswith(b"HTTP/1.1 408 ")

    run(test)


def test_a_body_that_comes_slowly_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paces, "PATIENCE_S", 0.05)
    monkeypatch.setattr(visits, "LINGER_S", 1000.0)

    async def test() -> None:
        async with entrance() as it:
            client = await it.client(BODY + b"xx")
            asked, _ = await it.service()
            await heard(asked)

            answer = await ended(client)
            assert (answer[:13], b" 502 " in answer) == (b"HTTP/1.1 408 ", False)
            await ended(asked)

    run(test)


def test_nor_is_one_in_very_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paces, "PATIENCE_S", 0.1)
    chunked = BODY.replace(b"content-length: 10000000", b"transfer-encoding: chunked")

    async def test() -> None:
        async with entrance() as it:
            client = await it.client(chunked)
            await it.service()
            answer = asyncio.ensure_future(heard(client))
            while not answer.done():
                it.clients[0].write(b"1\r\nx\r\n")
                await asyncio.wait([answer], timeout=0.02)

            assert answer.result().startswith(b"HTTP/1.1 408 ")

    run(test)


def test_a_body_of_a_later_request_is_not_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paces, "PATIENCE_S", 0.05)

    async def test() -> None:
        async with entrance() as it:
            client = await it.client(GOOD)
            asked, answer = await it.service()
            await heard(asked)
            answer.write(OK)
            await heard(client, b"ok")

            it.clients[0].write(BODY)

            assert (await heard(client)).startswith(b"HTTP/1.1 408 ")

    run(test)


def test_a_slow_body_is_cut_off_where_its_answer_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with entrance() as it:
            monkeypatch.setattr(paces, "PATIENCE_S", 0.3)
            client = await it.client(BODY)
            asked, answer = await it.service()
            await heard(asked)
            answer.write(OK)

            assert await ended(client) == OK

    run(test)


def test_a_body_that_the_service_does_not_take_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paces, "PATIENCE_S", 1.0)
    monkeypatch.setattr(paces, "LEAST_RATE", 1 << 40)
    body = b"x" * 10_000_000

    async def test() -> None:
        async with entrance() as it:
            client = await it.client(BODY + body)
            asked, answer = await it.service()
            with suppress(TimeoutError):
                await asyncio.wait_for(client.read(1), 1.5)  # nothing comes, however long it takes
            monkeypatch.setattr(paces, "PATIENCE_S", 1000.0)  # this machine may be slow itself
            await heard(asked)
            assert await asked.readexactly(len(body)) == body
            answer.write(OK)

            assert await heard(client, b"ok") == OK

    run(test)


def test_a_body_that_is_whole_may_be_answered_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paces, "PATIENCE_S", 0.05)

    async def test() -> None:
        async with entrance() as it:
            client = await it.client(BODY.replace(b"10000000", b"2") + b"hi")
            asked, answer = await it.service()
            await heard(asked, b"hi")
            with suppress(TimeoutError):
                await asyncio.wait_for(client.read(1), 0.2)
            answer.write(OK)

            assert await heard(client, b"ok") == OK

    run(test)


def test_who_does_not_encrypt_in_time_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fronts, "TLS_S", 0.05)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("here").configure_cert(context)

    async def test() -> None:
        async with entrance(tls=context) as it:
            client = await it.client()

            assert await client.read() == b""

    run(test)


def test_from_one_address_so_many_may_come() -> None:
    async def test() -> None:
        async with entrance(most=1) as it:
            first = await it.client(GOOD)
            asked, answer = await it.service()
            await heard(asked)
            answer.write(OK)
            await heard(first, b"ok")
            second = await it.client(GOOD)

            assert (await heard(second)).startswith(b"HTTP/1.1 429 ")
            assert it.is_empty

    run(test)


def test_who_comes_on_and_on_is_not_even_told() -> None:
    async def test() -> None:
        async with entrance(most=1) as it:
            told = [await it.client() for _ in range(2)]
            assert (await heard(told[1])).startswith(b"HTTP/1.1 429 ")

            assert await ended(await it.client()) == b""

    run(test)


def test_who_has_not_encrypted_yet_is_counted() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    async def test() -> None:
        async with entrance(most=1, tls=context) as it:
            for _ in range(2):
                await it.client()

            assert await ended(await it.client()) == b""

    run(test)


def test_who_has_gone_makes_room_for_another() -> None:
    async def test() -> None:
        async with entrance(most=1) as it:
            client = await it.client(GOOD)
            asked, answer = await it.service()
            await heard(asked)
            answer.write(OK)
            answer.close()
            assert await ended(client) == OK

            assert (await heard(await it.client(BAD))).startswith(b"HTTP/1.1 401 ")

    run(test)


def test_a_websocket_is_whatever_is_said_from_its_answer_on() -> None:
    async def test() -> None:
        async with entrance() as it:
            client = await it.client(SOCKET)
            asked, answer = await it.service()
            await heard(asked)
            answer.write(SWITCHED)
            await heard(client)
            it.clients[0].write(b"\0frames\r\n\r\n")
            answer.write(b"back")

            assert (await heard(asked), await heard(client, b"back")) == (
                b"\0frames\r\n\r\n",
                b"back",
            )

    run(test)


def test_without_that_answer_the_next_request_is_looked_at() -> None:
    async def test() -> None:
        async with entrance() as it:
            client = await it.client(SOCKET)
            asked, answer = await it.service()
            await heard(asked)
            answer.write(OK[:5])
            answer.write(OK[5:])
            await heard(client, b"ok")

            it.clients[0].write(BAD)

            assert (await heard(client)).startswith(b"HTTP/1.1 401 ")

    run(test)


def test_what_is_said_before_a_websocket_is_there_is_kept_for_it() -> None:
    async def test() -> None:
        async with entrance() as it:
            await it.client(SOCKET + b"early", b" frames\r\n\r\n")
            asked, answer = await it.service()
            await heard(asked)
            answer.write(SWITCHED)

            assert await heard(asked) == b"early frames\r\n\r\n"

    run(test)


def test_what_a_key_had_begun_ends_with_it() -> None:
    async def test() -> None:
        async with entrance() as it:
            client = await it.client(GOOD)
            asked, _ = await it.service()
            await heard(asked)

            it.front.cut("good")

            assert await ended(client) == b""

    run(test)


def test_what_a_key_had_begun_does_not_outlive_it() -> None:
    async def test() -> None:
        async with entrance() as it:
            client = await it.client(SOCKET.replace(b"good", b"brief"))
            asked, answer = await it.service()
            await heard(asked)
            answer.write(SWITCHED)

            assert await ended(client) == SWITCHED

    run(test)


def test_what_goes_on_under_a_later_key_does() -> None:
    async def test() -> None:
        async with entrance() as it:
            client = await it.client(GOOD.replace(b"good", b"brief"))
            asked, answer = await it.service()
            await heard(asked)
            it.clients[0].write(GOOD)
            await heard(asked)
            with suppress(TimeoutError):
                await asyncio.wait_for(client.read(1), 0.4)
            answer.write(OK)

            assert await heard(client, b"ok") == OK

    run(test)


def test_where_everybody_is_let_in_no_key_is_needed() -> None:
    async def test() -> None:
        async with entrance() as it:
            it.front.is_open = True
            await it.client(BAD)
            asked, _ = await it.service()

            assert (await heard(asked)).startswith(HEAD)

    run(test)
