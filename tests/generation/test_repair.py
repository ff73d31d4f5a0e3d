"""From a stub to a function: asked for, checked, tried, and asked for again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apothic.generation.artifacts import Artifact
from apothic.generation.config import LivConfig
from apothic.generation.models import Settings
from apothic.generation.repair import generated
from apothic.generation.stubs import Stub
from apothic_backends.model.generation import GenerationFailed
from apothic_backends.model.sandboxes import IsolationMissing
from tests.fakes.chat.fake import Chat, chatting, refuses, says
from tests.generation.conftest import PATIENCE_S

KEY = "sk-canary-77aa"
SOURCE = '''\
def f(status: str) -> str:
    """`status:` and the lowercase input without outer whitespace."""
    raise NotImplementedError
'''
EXAMPLES = [((" READY ",), {}, "status:ready")]


def markdown(body: str, head: str = "def f(status: str) -> str:") -> str:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"Sure! Here it is:\n\n```python\n{head}\n{lines}\n```\n\nI hope that this helps."


GOOD = markdown('return f"status:{status.strip().lower()}"')
WRONG = markdown('return f"status:{status.lower()}"')


@pytest.fixture
def chat() -> Iterator[Chat]:
    with chatting() as chat:
        yield chat


def made(chat: Chat, *answers: str, **config: Any) -> Artifact:
    """What comes of a stub when the model answers so."""
    chat.add(*map(says, answers))
    stub = Stub("app", "f", "function", SOURCE)
    settings = Settings("fake", chat.base_url, KEY, PATIENCE_S, None, None)
    try:
        return generated(stub, LivConfig(examples=EXAMPLES, **config), settings, {}, "identity")
    except IsolationMissing as missing:
        pytest.skip(f"no isolation on this machine: {missing}")


def told(chat: Chat, number: int) -> str:
    """The end of the conversation of that request."""
    return str(chat.requests[number].body["messages"][-1]["content"])


def test_an_answer_that_is_right_is_kept_without_what_is_around_it(chat: Chat) -> None:
    artifact = made(chat, GOOD)

    assert artifact.code.startswith("def f(status: str) -> str:\n")
    assert (artifact.answers, artifact.is_tried, artifact.model) == (1, True, "fake")
    assert "Sure" not in artifact.code


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (WRONG, "f(' READY '): it returned 'status: ready ', but 'status:ready' is expected"),
        (markdown("return 1"), "it returned 1, which is no str"),
        (markdown("return status.nothing()"), "line 3, in f: return status.nothing()"),
        (markdown("return status +"), "syntax"),
        (GOOD.replace("def f", "def g"), "f"),
        (markdown("import os\nos.system('true')\nreturn 'status:ready'"), "os"),
        (markdown("return ().__class__.__name__"), "__class__"),
        ("I cannot see any code.", "f"),
    ],
    ids=["expected", "type", "traceback", "syntax", "name", "module", "dunder", "no code"],
)
def test_what_is_wrong_goes_back_to_the_model(chat: Chat, answer: str, said: str) -> None:
    artifact = made(chat, answer, GOOD, self_debug=True)

    assert artifact.answers == 2
    assert chat.requests[1].body["messages"][-2]["content"] == answer
    assert told(chat, 1).startswith("That cannot be used:\n")
    assert said in told(chat, 1)


def test_h4_a_module_that_is_not_allowed_is_refused_until_it_fails(chat: Chat) -> None:
    answer = markdown("import subprocess\nreturn subprocess.run(['pip', 'install', status])")

    with pytest.raises(GenerationFailed, match="in 3 answers") as raised:
        made(chat, *[answer] * 3, max_repair_attempts=2, allowed_modules=("json",))

    assert "subprocess" in raised.value.data["findings"][0]
    assert len(chat.requests) == 3


def test_without_repairs_there_is_one_answer_and_a_hint(chat: Chat) -> None:
    with pytest.raises(GenerationFailed, match="self_debug=True has it try again"):
        made(chat, WRONG, GOOD)

    assert len(chat.requests) == 1


def test_a_refusal_ends_it(chat: Chat) -> None:
    chat.add(refuses("No."))

    with pytest.raises(GenerationFailed, match=r"No\."):
        made(chat, GOOD, self_debug=True)
    assert len(chat.requests) == 1


def test_without_the_sandbox_the_answer_is_only_read(chat: Chat) -> None:
    artifact = made(chat, WRONG, sandbox=False)

    assert artifact.is_tried is False


def test_h1_decorators_defaults_and_classes_of_an_answer_run_nowhere(
    chat: Chat, tmp_path: Path
) -> None:
    harm = f"open({str(tmp_path / 'harm')!r}, 'w')"
    lines = GOOD.partition("```python\n")[2].partition("```")[0]
    header = lines.replace("(status: str)", f"(status: {harm} = {harm})").replace("-> str", "")
    code = f"class A:\n    {harm}\n\n@(lambda f: {harm} and f)\n{header}\n{harm}\nf(1)\n"

    artifact = made(chat, f"```python\n{code}```", GOOD, self_debug=True)

    assert artifact.code == made(chat, GOOD).code
    assert [*tmp_path.iterdir()] == []


def test_h3_no_key_is_told_to_the_model(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("APOTHIC_API_KEY", KEY)

    artifact = made(chat, WRONG, GOOD, self_debug=True, api_key=KEY)

    assert KEY not in json.dumps([request.body for request in chat.requests])
    assert KEY not in artifact.code + json.dumps(artifact.to_json())
