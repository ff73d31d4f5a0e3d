"""`apothic state`: namespaces beside each other, their copies, and their end."""

from __future__ import annotations

import json
import sqlite3
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from apothic import cli
from apothic_backends.project import namespace, state_folder
from apothic_emulator.stores.namespaces import PUT_BACK
from apothic_emulator.stores.opening import open_store
from apothic_emulator.stores.store import LARGE, Store

LARGE_VALUE = bytes(LARGE + 1)


class State:
    """The command, in a project of its own."""

    def __init__(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.root = root
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """The exit code, stdout and stderr."""
        self._monkeypatch.setattr(sys, "argv", ["apothic", "state", *arguments])
        try:
            code = cli.main()
        except SystemExit as error:
            code = int(error.code or 0)
        out, err = self._capsys.readouterr()
        return code, out.strip(), err.strip()

    def store(self, name: str = "default") -> Store:
        folder = state_folder(self.root, name)
        store = open_store("sqlite", folder, name)
        store.open()
        return store

    def fill(self, name: str = "default", **records: bytes) -> None:
        store = self.store(name)
        store.commit(list(records.items()))
        store.close()

    def held(self, name: str = "default") -> dict[str, bytes]:
        store = self.store(name)
        try:
            return dict(store.load())
        finally:
            store.close()


@pytest.fixture
def state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> State:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    for name in ("APOTHIC_STATE", "APOTHIC_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    return State(tmp_path, monkeypatch, capsys)


def test_a_project_begins_with_one_namespace(state: State) -> None:
    assert state("list") == (0, "* default         0 KiB", "")
    assert state("path")[1] == str(state.root / ".apothic" / "state" / "default")


def test_a_new_namespace_is_made_and_chosen(state: State) -> None:
    assert state("switch", "-c", "trial")[0] == 0

    assert namespace(state.root) == "trial"
    assert state("path")[1].endswith("/state/trial")


def test_the_one_before_is_a_dash_away(state: State) -> None:
    state("switch", "-c", "trial")

    state("switch", "-")
    assert namespace(state.root) == "default"
    state("switch", "-")
    assert namespace(state.root) == "trial"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("nope",), 4), (("-c", "default"), 2), (("-c", "../up"), 2), (("-c", ".hidden"), 2)],
)
def test_switching_to_what_cannot_be_is_refused(
    state: State, arguments: tuple[str, ...], code: int
) -> None:
    assert state("switch", *arguments)[0] == code

    assert namespace(state.root) == "default"


def test_switching_says_when_the_environment_stands_over_it(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APOTHIC_NAMESPACE", "other")

    code, _, err = state("switch", "-c", "trial")

    assert code == 2
    assert "APOTHIC_NAMESPACE=other" in err


def test_a_fork_holds_the_same_and_goes_its_own_way(state: State) -> None:
    state.fill(a=b"1", large=LARGE_VALUE)

    assert state("fork", "copy")[0] == 0

    assert state.held("copy") == {"a": b"1", "large": LARGE_VALUE}
    state.fill("copy", a=b"2")
    assert state.held()["a"] == b"1"


def test_a_fork_of_a_state_in_use_is_whole(state: State) -> None:
    store = state.store()
    store.commit([("a", b"1"), ("large", LARGE_VALUE)])

    assert state("fork", "copy")[0] == 0
    store.commit([("a", b"2"), ("large", None)])
    store.close()

    assert state.held("copy") == {"a": b"1", "large": LARGE_VALUE}
    assert state.held() == {"a": b"2"}


def test_a_fork_takes_the_place_of_nothing(state: State) -> None:
    state.fill(a=b"1")
    state.fill("copy", b=b"2")

    assert state("fork", "copy")[0] == 2

    assert state.held("copy") == {"b": b"2"}


def test_a_fork_of_nothing_is_refused(state: State) -> None:
    assert state("fork", "copy", "--from", "nope")[0] == 4

    assert not state_folder(state.root, "copy").exists()


def test_a_damaged_state_is_not_copied(state: State) -> None:
    state.fill(a=b"1" * 500)
    path = state_folder(state.root, "default") / "state.db"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"1" * 500, b"1" * 499 + b"2"))

    code, _, err = state("fork", "copy")

    assert code != 0
    assert "damaged" in err
    assert not state_folder(state.root, "copy").exists()


def test_what_was_saved_can_be_loaded(state: State) -> None:
    state.fill(a=b"1", large=LARGE_VALUE)
    assert state("save", "file.apothic")[0] == 0
    state.fill(a=b"2", b=b"3")

    assert state("load", "file.apothic", "--yes")[0] == 0

    assert state.held() == {"a": b"1", "large": LARGE_VALUE, **dict([PUT_BACK])}
    assert (state.root / "file.apothic").stat().st_mode & 0o077 == 0


def test_loading_over_something_needs_a_word(state: State) -> None:
    state.fill(a=b"1")
    state("save", "file.apothic")
    state.fill(a=b"2")

    assert state("load", "file.apothic")[0] == 2

    assert state.held() == {"a": b"2"}


def test_a_state_in_use_is_not_replaced(state: State) -> None:
    store = state.store()
    store.commit([("a", b"1")])
    state("save", "file.apothic")

    for command in (("load", "file.apothic", "--yes"), ("reset", "--yes")):
        code, _, err = state(*command)
        assert code != 0
        assert "in use" in err

    store.commit([("a", b"2")])
    store.close()
    assert state.held() == {"a": b"2"}


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "state.db.blobs/x", "other"])
def test_a_file_of_somebody_else_is_refused(state: State, name: str) -> None:
    state.fill(a=b"1")
    with tarfile.open("file.apothic", "w") as archive:
        member = tarfile.TarInfo(name)
        member.size = 3
        archive.addfile(member, BytesIO(b"abc"))

    code, _, err = state("load", "file.apothic", "--yes")

    assert code != 0
    assert "was not made by" in err
    assert state.held() == {"a": b"1"}
    assert [path.name for path in (state.root / ".apothic" / "state").iterdir()] == ["default"]


def test_no_archive_at_all_is_refused(state: State) -> None:
    Path("file.apothic").write_bytes(b"notes" * 1000)

    assert state("load", "file.apothic")[0] != 0
    assert state("load", "nowhere.apothic")[0] == 4


def test_a_reset_forgets_everything(state: State) -> None:
    state.fill(a=b"1")
    assert state("reset")[0] == 2
    assert state.held() == {"a": b"1"}

    assert state("reset", "--yes")[0] == 0

    assert state.held() == {}


def test_the_list_says_what_is_in_use(state: State) -> None:
    state("switch", "-c", "trial")
    store = state.store("trial")

    listed = json.loads(state("list", "--json")[1])["namespaces"]
    store.close()

    assert [(one["name"], one["is_current"], one["is_in_use"]) for one in listed] == [
        ("default", False, False),
        ("trial", True, True),
    ]


def test_state_in_a_database_server_is_left_to_its_tools(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APOTHIC_STATE", "postgresql://user:secret@host/db")

    code, _, err = state("save", "file.apothic")

    assert code == 2
    assert "postgresql" in err
    assert "secret" not in err


def test_copies_can_be_read_by_sqlite(state: State) -> None:
    state.fill(a=b"1")
    state("fork", "copy")

    with sqlite3.connect(state_folder(state.root, "copy") / "state.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
