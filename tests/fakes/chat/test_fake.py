"""The fake speaks the protocol as the client of the `openai` package understands it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.fakes.chat.fake import (
    Chat,
    breaks_off,
    calls,
    chatting,
    fails,
    is_silent,
    never_ends,
    refuses,
    says,
    sends,
)

TEXT = "An answer of some length, ünd 🎈."
MESSAGES: Any = [{"role": "user", "content": "What is it?"}]


@pytest.fixture
def chat() -> Iterator[Chat]:
    with chatting() as chat:
        yield chat


@pytest.fixture
def client(chat: Chat) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=chat.base_url, api_key="sk-any", max_retries=1) as client:
        yield client


def whole(client: openai.OpenAI) -> Any:
    """The message of an answer."""
    return client.chat.completions.create(model="fake", messages=MESSAGES).choices[0].message


def streamed(client: openai.OpenAI) -> list[Any]:
    """What of an answer comes, piece by piece."""
    with client.chat.completions.create(model="fake", messages=MESSAGES, stream=True) as chunks:
        return [chunk.choices[0] for chunk in chunks]


def test_a_text_is_the_same_in_pieces_and_whole(chat: Chat, client: openai.OpenAI) -> None:
    chat.add(says(TEXT), says(TEXT, "length"))

    assert whole(client).content == TEXT
    pieces = streamed(client)
    assert "".join(it.delta.content or "" for it in pieces) == TEXT
    assert pieces[-1].finish_reason == "length"
    assert len(pieces) > 5


def test_a_refusal_is_the_same_in_pieces_and_whole(chat: Chat, client: openai.OpenAI) -> None:
    chat.add(refuses(TEXT), refuses(TEXT))

    assert whole(client).refusal == TEXT
    assert "".join(it.delta.refusal or "" for it in streamed(client)) == TEXT


def test_tools_are_the_same_in_pieces_and_whole(chat: Chat, client: openai.OpenAI) -> None:
    wanted = [("add", '{"a": 1, "b": 2}'), ("now", "{}")]
    chat.add(calls(*wanted), calls(*wanted))

    assert [(it.function.name, it.function.arguments) for it in whole(client).tool_calls] == wanted
    asked: dict[int, list[str]] = {}
    for call in (call for it in streamed(client) for call in it.delta.tool_calls or ()):
        known = asked.setdefault(call.index, ["", ""])
        known[0] += call.function.name or ""
        known[1] += call.function.arguments or ""
    assert [tuple(it) for it in asked.values()] == wanted


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_what_fails_for_a_while_is_asked_again(
    chat: Chat, client: openai.OpenAI, status: int
) -> None:
    chat.add(fails(status), says(TEXT))

    assert whole(client).content == TEXT
    assert [it.body["messages"] for it in chat.requests] == [MESSAGES, MESSAGES]


def test_a_key_that_is_wrong_is_not_asked_again(chat: Chat, client: openai.OpenAI) -> None:
    chat.add(fails(401, "no such key"), says(TEXT))

    with pytest.raises(openai.AuthenticationError, match="no such key"):
        whole(client)
    assert chat.requests[0].headers["authorization"] == "Bearer sk-any"
    assert len(chat.requests) == 1


def test_a_stream_breaks_off_in_the_middle(chat: Chat, client: openai.OpenAI) -> None:
    chat.add(breaks_off(TEXT))

    with pytest.raises(Exception, match=r"incomplete|Connection error"):
        streamed(client)


def test_garbage_is_no_stream(chat: Chat, client: openai.OpenAI) -> None:
    chat.add(sends(b"data: {]\n\n", "text/event-stream"))

    with pytest.raises(ValueError, match="Expecting"):
        streamed(client)


def test_a_stream_goes_on_until_nobody_reads_it(chat: Chat, client: openai.OpenAI) -> None:
    chat.add(never_ends("more"))

    with client.chat.completions.create(model="fake", messages=MESSAGES, stream=True) as chunks:
        assert [next(chunks).choices[0].delta.content for _ in range(100)] == ["more"] * 100


def test_a_server_that_is_silent_is_not_waited_for(chat: Chat, client: openai.OpenAI) -> None:
    chat.add(is_silent(), is_silent())

    with pytest.raises(openai.APITimeoutError):
        whole(client.with_options(timeout=0.1))
    assert len(chat.requests) <= 2


def test_without_another_answer_the_client_is_told_so(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="no more answers"):
        whole(client)
