"""From a stub to a module of the project that runs in workers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from apothic import GenerationFailed, InvalidOption, NotGenerated, RemoteFunction, UsageError
from apothic.generation.freezing import _anew
from apothic_backends.connection import use
from apothic_backends.registry import open_backend
from tests.fakes.chat.fake import Chat, breaks_off, fails, refuses, says
from tests.generation.projects import APP, GOOD, Project, answer

EXAMPLE = 'examples=[((" A ",), {}, "status:a")]'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project, and a backend of its own."""
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path / "home"))
    folder = tmp_path / "project"
    folder.mkdir()
    before = use(open_backend("local"))
    yield Project(folder, monkeypatch)
    backend = use(before)
    assert backend is not None
    backend.close()


def test_the_first_call_freezes_it_and_runs_it_in_a_worker(project: Project, chat: Chat) -> None:
    chat.add(says(GOOD))
    app = project.app(EXAMPLE)

    assert app.normalize.remote(" READY ") == "status:ready"
    assert project.frozen.exists()


async def test_a_loop_goes_on_while_it_is_generated(project: Project, chat: Chat) -> None:
    chat.add(says(GOOD))

    assert await project.app().normalize.remote.aio(" READY ") == "status:ready"


def test_it_is_asked_for_once(project: Project, chat: Chat) -> None:
    chat.add(says(GOOD))

    assert [project.app().normalize.remote("A") for _ in range(2)] == ["status:a"] * 2
    assert len(chat.requests) == 1


def test_a_model_that_answers_otherwise_each_time_changes_nothing_that_is_frozen(
    project: Project, chat: Chat
) -> None:
    chat.add(says(GOOD), says(answer("'other'")), says(answer("'another'")))
    first = project.app().app.deploy()

    assert project.app().normalize.remote("A") == "status:a"
    project.frozen.unlink()  # as in another copy of the project
    assert project.app().normalize("B") == "status:b"
    assert first == "deployments:1"


def test_a_deployment_freezes_it_first(project: Project, chat: Chat) -> None:
    chat.add(says(GOOD))
    app = project.app()

    app.app.deploy()
    assert app.normalize.remote("A") == "status:a"
    assert RemoteFunction.from_name("demo", "normalize").remote("B") == "status:b"


def test_it_is_shipped_although_git_ignores_it(project: Project, chat: Chat) -> None:
    subprocess.run(["git", "init", "-q", "."], check=True)
    (project.folder / ".gitignore").write_text("apothic_liv/\n")
    chat.add(says(GOOD))
    project.app().app.deploy()

    assert RemoteFunction.from_name("demo", "normalize").remote("B") == "status:b"


def test_a_second_deployment_of_what_is_frozen_changes_nothing(
    project: Project, chat: Chat
) -> None:
    chat.add(says(GOOD))
    app = project.app()
    first = app.app.deploy()

    assert app.app.deploy() == first
    assert len(chat.requests) == 1


def test_it_runs_in_place_as_it_is_frozen(project: Project, chat: Chat) -> None:
    chat.add(says(GOOD))
    app = project.app()

    assert (app.normalize(" A "), app.normalize.local(" B ")) == ("status:a", "status:b")


def test_where_no_model_is_named_it_says_what_to_set(project: Project) -> None:
    with pytest.raises(NotGenerated, match=r"model=.*APOTHIC_LIV_MODEL.*\[tool.apothic.liv\]"):
        project.app().normalize.remote("A")


def test_what_is_frozen_needs_no_model(
    project: Project, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat.add(says(GOOD))
    project.app().normalize.remote("A")
    monkeypatch.delenv("APOTHIC_LIV_MODEL")

    assert project.app().normalize.remote("B") == "status:b"


def test_a_change_of_what_is_declared_generates_it_anew(project: Project, chat: Chat) -> None:
    chat.add(says(GOOD), says(answer("'other'")))
    project.app().normalize.remote("A")

    assert project.app(options="memory_mb=2048").normalize.remote("A") == "other"


def test_what_is_deleted_comes_from_the_cache(project: Project, chat: Chat) -> None:
    chat.add(says(GOOD))
    project.app().normalize.remote("A")
    project.frozen.unlink()

    assert project.app().normalize.remote("B") == "status:b"
    assert len(chat.requests) == 1


def test_h6_a_cache_that_was_edited_is_not_believed(
    project: Project, chat: Chat, tmp_path: Path
) -> None:
    chat.add(says(GOOD), says(GOOD))
    project.app().normalize.remote("A")
    project.frozen.unlink()
    (kept,) = (tmp_path / "home" / "liv" / "local").glob("*.json")
    kept.write_text(kept.read_text().replace("status.strip", "status.upper"))

    assert project.app().normalize.remote(" B ") == "status:b"
    assert len(chat.requests) == 2


def test_what_was_edited_by_hand_is_not_thrown_away(project: Project, chat: Chat) -> None:
    chat.add(says(GOOD))
    project.app().normalize.remote("A")
    project.frozen.write_text(project.frozen.read_text().replace("strip()", "upper()"))

    with pytest.raises(UsageError, match="is not as it was written"):
        project.app().normalize.remote("B")
    assert "upper()" in project.frozen.read_text()


def test_force_regenerate_asks_once_in_each_program(project: Project, chat: Chat) -> None:
    chat.add(says(GOOD), says(answer("'other'")))
    project.app().normalize("A")
    _anew.clear()  # as in another program
    app = project.app("force_regenerate=True")

    assert [app.normalize("A"), app.normalize("B")] == ["other", "other"]
    assert len(chat.requests) == 2


@pytest.mark.parametrize(
    "bad",
    [
        [fails(401)],
        [refuses("no")],
        [breaks_off(GOOD)] * 3,
        [says("I cannot do that.")],
        [says(answer("__import__('os').getcwd()"))],
        [says(answer("'wrong'"))],
    ],
    ids=["key", "refusal", "cut", "prose", "malicious", "example"],
)
def test_when_it_fails_nothing_is_frozen_and_nothing_deployed(
    project: Project, chat: Chat, bad: list[object]
) -> None:
    chat.add(*bad)  # type: ignore[arg-type]
    app = project.app(EXAMPLE)

    with pytest.raises(GenerationFailed):
        app.app.deploy()
    assert not project.frozen.exists()
    with pytest.raises(GenerationFailed):
        app.normalize.remote("A")


def test_when_it_fails_what_was_deployed_before_goes_on(project: Project, chat: Chat) -> None:
    chat.add(says(GOOD), says("no code"))
    project.app().app.deploy()

    with pytest.raises(GenerationFailed):
        project.app(options="memory_mb=2048").app.deploy()
    assert RemoteFunction.from_name("demo", "normalize").remote("A") == "status:a"


def test_no_secret_of_a_function_is_told(project: Project, chat: Chat) -> None:
    chat.add(says(GOOD))
    project.app(options='secrets=[apothic.Secret.from_dict({"K": "hidden-value"})]').app.deploy()

    assert "hidden-value" not in str(chat.requests)
    assert "K" in str(chat.requests)


def test_the_key_is_sent_and_never_kept(
    project: Project, chat: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APOTHIC_LIV_API_KEY", "hidden-key")
    chat.add(says(GOOD))
    project.app().normalize.remote("A")

    assert chat.requests[0].headers["authorization"] == "Bearer hidden-key"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if b"hidden-key" in path.read_bytes()] == []


def test_apps_whose_names_are_alike_do_not_share_a_module(project: Project, chat: Chat) -> None:
    chat.add(says(GOOD))
    project.app(text=APP.replace('App("demo")', 'App("de-mo")')).normalize.remote("A")

    with pytest.raises(UsageError, match=r"de-mo/normalize, and de_mo/normalize would be there"):
        project.app(text=APP.replace('App("demo")', 'App("de_mo")')).normalize.remote("A")


def test_a_types_module_is_imported_by_what_is_frozen(project: Project, chat: Chat) -> None:
    (project.folder / "money_of_liv.py").write_text("class Money(int): ...\n")
    text = (
        "import apothic\nfrom money_of_liv import Money\napp = apothic.App('demo')\n"
        "@apothic.liv({liv})\n@app.function({options})\n"
        "def normalize(status: Money) -> int:\n    raise NotImplementedError\n"
    )
    chat.add(says("```python\ndef normalize(status):\n    return int(status) + 1\n```"))

    assert project.app(text=text).normalize.remote(3) == 4
    assert "from money_of_liv import Money" in project.frozen.read_text()


def test_processes_at_once_ask_once(project: Project, chat: Chat, tmp_path: Path) -> None:
    chat.add(says(GOOD))
    name = project.app().__name__
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", f"import {name} as app; print(app.normalize.remote(' A '))"]
    programs = [
        subprocess.Popen(command, env=environ, cwd=project.folder, stdout=subprocess.PIPE)
        for _ in range(3)
    ]

    assert [program.communicate(timeout=120)[0] for program in programs] == [b"status:a\n"] * 3
    assert len(chat.requests) == 1


def test_where_nothing_is_imported_from_it_is_not_frozen(
    project: Project, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = project.app()
    monkeypatch.setattr(sys, "path", [it for it in sys.path if it != str(project.folder)])

    with pytest.raises(UsageError, match="nothing is imported from"):
        app.normalize.local("A")
    assert not project.frozen.exists()


def test_a_schedule_may_call_what_is_generated(project: Project, chat: Chat) -> None:
    text = (
        "import apothic\napp = apothic.App('demo')\n"
        "@apothic.liv({liv})\n@app.function(schedule=apothic.Period(hours=1))\n"
        "def normalize() -> int:\n    raise NotImplementedError\n"
    )
    chat.add(says("```python\ndef normalize():\n    return 5\n```"))
    app = project.app(text=text)

    app.app.deploy()
    assert app.normalize.remote() == 5
    assert '"schedule"' in str(chat.requests[0].body)


NESTED = (
    APP
    + """

@app.function
def outer(status: str) -> str:
    return normalize.remote(status) + "!"
"""
)


def test_a_function_may_call_one_that_is_generated(project: Project, chat: Chat) -> None:
    chat.add(says(GOOD))

    assert project.app(text=NESTED).outer.remote(" A ") == "status:a!"


def test_a_script_may_have_one_that_calls_one_that_is_generated(
    project: Project, chat: Chat
) -> None:
    chat.add(says(GOOD))
    text = NESTED.format(liv="", options="") + "\nprint(outer.remote(' A '))\n"
    (project.folder / "script.py").write_text(text)
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

    told = subprocess.run(
        [sys.executable, "script.py"], env=environ, capture_output=True, timeout=120, check=False
    )
    assert told.stdout == b"status:a!\n", told.stderr


def test_the_same_function_under_other_options_has_the_same_body(
    project: Project, chat: Chat
) -> None:
    chat.add(says(GOOD))
    app = project.app()
    other = app.normalize.with_options(memory_mb=2048)

    assert [app.normalize.remote("A"), other.remote("B")] == ["status:a", "status:b"]
    assert len(chat.requests) == 1


@pytest.mark.parametrize(
    ("head", "stub", "body", "call"),
    [
        ("async def", "", "return n + 1", "it.remote(2) == 3"),
        ("def", "    yield 0", "yield from range(n)", "[*it.remote_gen(2)] == [0, 1]"),
        ("async def", "    yield 0", "yield n", "[*it.remote_gen(2)] == [2]"),
    ],
)
def test_what_is_awaited_or_yields_can_be_generated(
    project: Project, chat: Chat, head: str, stub: str, body: str, call: str
) -> None:
    text = (
        "import apothic\napp = apothic.App('demo')\n@apothic.liv({liv})\n@app.function({options})\n"
        f"{head} normalize(n: int):\n    raise NotImplementedError\n{stub}\n"
    )
    chat.add(says(f"```python\n{head} normalize(n: int):\n    {body}\n```"))
    it = project.app(text=text).normalize

    assert eval(call, {"it": it})


def test_a_stub_that_cannot_be_read_is_refused_before_anybody_is_asked(
    project: Project, chat: Chat
) -> None:
    from apothic import App, liv

    scope: dict[str, object] = {"__name__": "nowhere"}
    exec("def work() -> int: ...", scope)
    handle = liv()(App("demo").function(scope["work"]))  # type: ignore[call-overload]

    with pytest.raises(InvalidOption, match="write it into a file"):
        handle.remote()
    assert chat.requests == []
