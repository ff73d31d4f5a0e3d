"""What a save does to a function whose body a model writes; one `apothic dev` for all of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.chat.fake import Chat, Request, chatting, fails, says
from tests.fakes.serving import Reply
from tests.integration.dev.developed import Dev, Project, developing

PROGRAM = '''
import apothic

app = apothic.App("demo")


@apothic.liv(sandbox=False)
@app.function()
def tell() -> str:
    """Return WORD."""
    raise NotImplementedError
'''
WHAT = re.compile(r"Return (\w+)\.")
FROZEN = Path("apothic_liv/demo/tell.py")
ENOUGH = 99


def as_asked(chat: Chat, request: Request) -> Reply:
    """A function that returns what its docstring says; nothing where that is `nothing`."""
    (word, *_) = WHAT.findall(json.dumps(request.body["messages"][-1]))
    if word == "nothing":
        return fails(400)(chat, request)
    return says(f"```python\ndef tell() -> str:\n    return {word!r}\n```")(chat, request)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("generated"))
    project.save("one", PROGRAM)
    return project


@pytest.fixture(scope="module")
def chat() -> Iterator[Chat]:
    with chatting(*[as_asked] * ENOUGH) as chat:
        yield chat


@pytest.fixture(scope="module")
def dev(project: Project, chat: Chat) -> Iterator[Dev]:
    model = {"APOTHIC_LIV_MODEL": "any", "APOTHIC_LIV_BASE_URL": chat.base_url}
    with developing(project, "--port", "0", APOTHIC_LIV_API_KEY="sk-any", **model) as dev:
        dev.until("deployed", version=1)
        yield dev


def told(project: Project) -> str:
    """What a call from another terminal gives."""
    done = project.cli("run", "tell", "--app-name", "demo", "--payload", "{}", "--json")
    return str(json.loads(done.stdout)["result"])


def test_a_docstring_that_is_saved_has_it_generated_anew_and_live(
    project: Project, dev: Dev
) -> None:
    project.save("two", PROGRAM)
    dev.until("deployed")

    assert "return 'two'" in (project.root / FROZEN).read_text("utf-8")
    assert told(project) == "two"


def test_a_save_that_leaves_it_as_it_is_asks_no_model(
    project: Project, dev: Dev, chat: Chat
) -> None:
    project.save("three", PROGRAM)
    dev.until("deployed")
    asked = len(chat.requests)
    project.save("three", f"{PROGRAM}\n# a remark\n")
    dev.until("deployed")

    assert (told(project), len(chat.requests)) == ("three", asked)


def test_when_no_answer_is_had_the_version_before_stays_live(project: Project, dev: Dev) -> None:
    project.save("four", PROGRAM)
    dev.until("deployed")
    project.save("nothing", PROGRAM)

    assert dev.until("broken")["error"]["code"] == "generation_failed"
    assert told(project) == "four"
