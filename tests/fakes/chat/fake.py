"""A server that speaks the chat-completions protocol, and answers as it was told to.

    with chatting(says("one"), fails(429), says("two")) as chat:
        client = openai.OpenAI(base_url=chat.base_url, api_key="sk-any")

Answers are given in their order, one for each request, as a stream where one is asked for.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from tests.fakes.serving import Reply, served

PATH = "/v1/chat/completions"
PIECE = 7
"""Characters of one piece of a stream."""


class Request(NamedTuple):
    """What was asked."""

    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def is_streamed(self) -> bool:
        return bool(self.body.get("stream"))


class Chat:
    """A model, seen from outside."""

    url = ""

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[Request] = []
        self.is_closed = threading.Event()
        self._answers = [*answers]
        self._lock = threading.Lock()

    @property
    def base_url(self) -> str:
        """What clients are given."""
        return f"{self.url}/v1"

    def add(self, *answers: Answer) -> None:
        """Answer the requests that come then like this."""
        with self._lock:
            self._answers += answers

    def handle(
        self, method: str, path: str, query: str, headers: Mapping[str, str], content: bytes
    ) -> Reply:
        if (method, path) != ("POST", PATH):
            return _failed(404, f"there is no {method} {path}")
        request = Request(headers, json.loads(content))
        with self._lock:
            self.requests.append(request)
            answer = self._answers.pop(0) if self._answers else None
        if answer is None:  # a status that no client tries again
            return _failed(400, "there are no more answers")
        return answer(self, request)

    def close(self) -> None:
        self.is_closed.set()


Answer = Callable[[Chat, Request], Reply]


def chatting(*answers: Answer) -> AbstractContextManager[Chat]:
    """A model that gives these answers, on a port of this machine."""
    return served(Chat(*answers))


# --- answers ----------------------------------------------------------------------------------


def says(text: str, end: str = "stop") -> Answer:
    """A text; with the `end` "length" there is no more room for the rest of it."""
    return lambda chat, request: _reply(request, [{"content": it} for it in _pieces(text)], end)


def refuses(text: str) -> Answer:
    """A refusal."""
    return lambda chat, request: _reply(request, [{"refusal": it} for it in _pieces(text)], "stop")


def calls(*tools: tuple[str, str]) -> Answer:
    """Asks for tools, each by its name and its arguments as JSON."""

    def answer(chat: Chat, request: Request) -> Reply:
        deltas: list[dict[str, Any]] = []
        for index, (name, arguments) in enumerate(tools):
            head = {"name": name, "arguments": ""}
            call = {"index": index, "id": f"call_{index}", "type": "function", "function": head}
            deltas.append({"tool_calls": [call]})
            for piece in _pieces(arguments):
                more = {"index": index, "function": {"arguments": piece}}
                deltas.append({"tool_calls": [more]})
        return _reply(request, deltas, "tool_calls")

    return answer


def fails(status: int, message: str = "not now") -> Answer:
    """An error; the client may try again at once."""
    return lambda chat, request: _failed(status, message)


def sends(body: bytes, kind: str = "application/json") -> Answer:
    """Anything, with status 200."""
    return lambda chat, request: Reply(200, body, (("Content-Type", kind),))


def breaks_off(text: str) -> Answer:
    """A text whose connection ends in the middle."""

    def answer(chat: Chat, request: Request) -> Reply:
        reply = says(text)(chat, request)
        body = b"".join(reply.body) if request.is_streamed else json.dumps(reply.body).encode()
        size = ("Content-Length", str(len(body)))
        headers = (*reply.headers, size, ("Connection", "close"))
        return Reply(200, body[: len(body) // 2], headers)

    return answer


def never_ends(text: str) -> Answer:
    """A text again and again, for as long as it is read."""

    def answer(chat: Chat, request: Request) -> Reply:
        return _stream(_event({"content": text}) for _ in iter(chat.is_closed.is_set, True))

    return answer


def is_silent() -> Answer:
    """Nothing at all, for as long as the server lives."""

    def answer(chat: Chat, request: Request) -> Reply:
        chat.is_closed.wait()
        return Reply(None)

    return answer


# --- the protocol -----------------------------------------------------------------------------

_ABOUT = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "fake"}


def _pieces(text: str) -> list[str]:
    return [text[at : at + PIECE] for at in range(0, len(text), PIECE)]


def _reply(request: Request, deltas: list[dict[str, Any]], end: str) -> Reply:
    if not request.is_streamed:
        choice = {"index": 0, "message": _whole(deltas), "finish_reason": end, "logprobs": None}
        return Reply(200, {**_ABOUT, "object": "chat.completion", "choices": [choice]})
    first = {"role": "assistant", "content": ""}
    events = [*map(_event, [first, *deltas]), _event({}, end), b"data: [DONE]\n\n"]
    return _stream(iter(events))


def _stream(events: Iterator[bytes]) -> Reply:
    return Reply(200, events, (("Content-Type", "text/event-stream"),))


def _event(delta: dict[str, Any], end: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": end}
    chunk = {**_ABOUT, "object": "chat.completion.chunk", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


def _whole(deltas: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that pieces of a stream make up."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    for name in ("content", "refusal"):
        message[name] = "".join(it[name] for it in deltas if name in it) or None
    tools: list[dict[str, Any]] = []
    for call in (call for it in deltas for call in it.get("tool_calls", ())):
        if "id" in call:
            head = {name: value for name, value in call.items() if name != "index"}
            tools.append(head | {"function": dict(call["function"])})
        else:
            tools[-1]["function"]["arguments"] += call["function"]["arguments"]
    return message | ({"tool_calls": tools} if tools else {})


def _failed(status: int, message: str) -> Reply:
    error = {"message": message, "type": "error", "param": None, "code": None}
    return Reply(status, {"error": error}, (("Retry-After-Ms", "1"),))
