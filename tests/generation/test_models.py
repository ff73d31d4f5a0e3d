"""Asking a model, through the real client, over HTTP on this machine."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openai
import pytest

from apothic.generation.config import LivConfig
from apothic.generation.models import MOST_TOOL_ROUNDS, Model, Settings, settings_of
from apothic.generation.tools import Tools
from apothic_backends.model.errors import UsageError
from apothic_backends.model.generation import GenerationFailed, NotGenerated
from tests.fakes.chat.fake import (
    Answer,
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
from tests.generation.conftest import PATIENCE_S

KEY = "sk-canary-8c21"
TEXT = "An answer of some length, ünd 🎈."
MESSAGES: list[dict[str, Any]] = [{"role": "user", "content": "What is it?"}]


@pytest.fixture
def chat() -> Iterator[Chat]:
    with chatting() as chat:
        yield chat


def settings(chat: Chat, **other: Any) -> Settings:
    known: dict[str, Any] = {
        "model": "fake",
        "base_url": chat.base_url,
        "api_key": KEY,
        "timeout_s": PATIENCE_S,
        "temperature": None,
        "client": None,
    }
    return Settings(**known | other)


def asked(chat: Chat, *answers: Answer, tools: Any = (), **other: Any) -> str:
    """What comes of asking a model that answers so."""
    chat.add(*answers)
    with Model(settings(chat, **other), Tools(tools)) as model:
        return model.answer(MESSAGES)


def failure(chat: Chat, *answers: Answer, tools: Any = (), **other: Any) -> GenerationFailed:
    with pytest.raises(GenerationFailed) as raised:
        asked(chat, *answers, tools=tools, **other)
    return raised.value


# --- answers ----------------------------------------------------------------------------------


def test_an_answer_is_asked_for_as_a_stream_with_what_was_chosen(chat: Chat) -> None:
    assert asked(chat, says(TEXT), temperature=0.5) == TEXT

    (request,) = chat.requests
    wanted = {"model": "fake", "messages": MESSAGES, "stream": True, "temperature": 0.5}
    assert request.body == wanted
    assert request.headers["authorization"] == f"Bearer {KEY}"


def test_what_was_not_chosen_is_left_to_the_model(chat: Chat) -> None:
    asked(chat, says(TEXT))

    assert chat.requests[0].body.keys() == {"model", "messages", "stream"}


@pytest.mark.parametrize("status", [429, 500])
def test_a_request_that_fails_for_a_while_is_made_again(chat: Chat, status: int) -> None:
    assert asked(chat, fails(status), fails(status), says(TEXT)) == TEXT


def test_an_answer_that_breaks_off_is_asked_for_again(chat: Chat) -> None:
    assert asked(chat, breaks_off(TEXT), says(TEXT)) == TEXT


# --- what is no answer ------------------------------------------------------------------------


def test_a_refusal_is_told_in_the_words_of_the_model(chat: Chat) -> None:
    error = failure(chat, refuses("I do not want to."))

    assert "'I do not want to.'" in str(error)
    assert error.data["refused"] is True


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([says(TEXT, end="length")], "longer than it may be"),
        ([says(" \n")], "answers with nothing"),
        ([breaks_off(TEXT)] * 3, "breaks off each time"),
        ([never_ends("x" * 10_000)], "more than 262144 characters"),
        ([sends(b"data: {]\n\n", "text/event-stream")] * 3, "JSONDecodeError"),
        ([sends(b"<html>", "text/html")] * 3, "fake"),
        ([fails(500, "not today")] * 3, "not today"),
        ([fails(404, "no such model")], "no such model"),
    ],
    ids=["length", "empty", "cut", "endless", "garbage", "page", "500", "404"],
)
def test_what_is_no_answer_says_why(chat: Chat, answers: list[Answer], said: str) -> None:
    assert said in str(failure(chat, *answers))


def test_an_answer_that_trickles_is_not_waited_for(chat: Chat) -> None:
    assert "takes more than 0.3 s" in str(failure(chat, never_ends(""), timeout_s=0.3))


def test_a_server_that_is_silent_is_not_waited_for(chat: Chat) -> None:
    assert "could not be asked" in str(failure(chat, *[is_silent()] * 3, timeout_s=0.1))


def test_a_server_that_is_not_there_is_named(chat: Chat) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"

    message = str(failure(chat, base_url=address))
    assert f"fake at {address} could not be asked" in message
    assert "refused" in message


def test_a_key_that_is_wrong_is_named_by_its_variable_and_not_shown(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other-canary")

    message = str(failure(chat, fails(401, f"Incorrect key {KEY} or sk-other-canary")))

    assert "Incorrect key *** or ***" in message
    assert "APOTHIC_LIV_API_KEY" in message
    assert "canary" not in message


# --- tools ------------------------------------------------------------------------------------


def add(a: int, b: int = 1) -> int:
    """The sum of two numbers."""
    return a + b


def fail() -> None:
    """Always fails."""
    raise ValueError("not today")


def test_a_tool_is_described_and_its_result_goes_back_to_the_model(chat: Chat) -> None:
    answers = calls(("add", '{"a": 2, "b": 3}'), ("add", '{"a": 2}')), says(TEXT)

    assert asked(chat, *answers, tools=[add]) == TEXT

    (tool,) = chat.requests[0].body["tools"]
    assert tool["function"]["name"] == "add"
    assert tool["function"]["description"] == "The sum of two numbers."
    assert tool["function"]["parameters"]["required"] == ["a"]
    call, *results = chat.requests[1].body["messages"][1:]
    assert [it["function"]["name"] for it in call["tool_calls"]] == ["add", "add"]
    assert [(it["tool_call_id"], it["content"]) for it in results] == [
        ("call_0", "5"),
        ("call_1", "3"),
    ]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("add", '{"a": "x"}'), "valid integer"),
        (("add", '{"a": 1, "c": 1}'), "Extra inputs"),
        (("add", "[1"), "Invalid JSON"),
        (("nothing", "{}"), "there is no tool 'nothing'"),
        (("fail", "{}"), "ValueError: not today"),
    ],
)
def test_a_call_that_goes_wrong_is_told_to_the_model(
    chat: Chat, call: tuple[str, str], said: str
) -> None:
    assert asked(chat, calls(call), says(TEXT), tools=[add, fail]) == TEXT

    content: str = chat.requests[1].body["messages"][-1]["content"]
    assert content.startswith("error: ")
    assert said in content


def test_a_model_that_only_asks_for_tools_is_stopped(chat: Chat) -> None:
    rounds = [calls(("add", '{"a": 1}'))] * MOST_TOOL_ROUNDS

    assert "and answers not" in str(failure(chat, *rounds, tools=[add]))


# --- clients ----------------------------------------------------------------------------------


def client_of(create: Callable[..., Any]) -> Any:
    return SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create)))


def test_a_client_of_ones_own_may_answer_as_a_whole(chat: Chat) -> None:
    said = SimpleNamespace(content=TEXT, refusal=None, tool_calls=None)
    choice = SimpleNamespace(message=said, finish_reason="stop")
    asks: list[Any] = []

    def create(**how: Any) -> Any:
        asks.append(how)
        return SimpleNamespace(choices=[choice])

    assert asked(chat, client=client_of(create)) == TEXT
    assert asks[0]["messages"] == MESSAGES
    assert chat.requests == []


def test_a_client_that_has_to_be_awaited_is_refused(chat: Chat) -> None:
    client = openai.AsyncOpenAI(base_url=chat.base_url, api_key=KEY)

    with pytest.raises(UsageError, match="blocks"):
        asked(chat, client=client)


def test_without_a_model_or_a_key_it_says_what_to_set(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    with pytest.raises(NotGenerated, match="APOTHIC_LIV_MODEL"):
        asked(chat, model="")
    with pytest.raises(NotGenerated, match="APOTHIC_LIV_API_KEY"):
        asked(chat, api_key=None, base_url=None)


def test_the_code_comes_before_the_environment_and_that_before_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = '[tool.apothic.liv]\nmodel = "of-project"\nbase_url = "http://project/v1"\n'
    (tmp_path / "pyproject.toml").write_text(told, "utf-8")
    monkeypatch.chdir(tmp_path)
    assert settings_of(LivConfig())[:2] == ("of-project", "http://project/v1")

    for name, value in {"MODEL": "of-environment", "API_KEY": KEY, "TIMEOUT": "7"}.items():
        monkeypatch.setenv(f"APOTHIC_LIV_{name}", value)
    found = settings_of(LivConfig(base_url="http://code/v1"))

    assert found[:4] == ("of-environment", "http://code/v1", KEY, 7.0)
    assert settings_of(LivConfig(model="of-code", timeout=3)).model == "of-code"
    assert KEY not in repr(found)
