from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from apothic_backends.model.errors import UsageError
from apothic_backends.registry import shared
from apothic_backends.remote.address import address_of
from apothic_backends.remote.profiles import Profile, Profiles, key_for
from apothic_backends.remote.running import FILE, announce, beginning, running

URL = "http://127.0.0.1:8377"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the server, whose key is there."""
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path))
    for name in ("APOTHIC_API_KEY", "APOTHIC_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("APOTHIC_TEST_BACKEND", URL)
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "admin.key").touch(0o600)
    (folder / "admin.key").write_text("apk_1_x\n")
    return folder


def test_nothing_runs_where_nothing_says_so() -> None:
    assert (running(), shared()) == (None, None)


def test_a_server_is_found_for_as_long_as_it_says_so(folder: Path) -> None:
    announce(folder / FILE, URL)

    found = running()
    assert found is not None
    assert (found.url, found.pid, found.key) == (URL, os.getpid(), "apk_1_x")
    assert shared() == URL

    (folder / FILE).unlink()
    assert shared() is None


def test_the_file_is_for_its_owner_alone_and_holds_no_key(folder: Path) -> None:
    before = os.umask(0)
    try:
        announce(folder / FILE, URL)
    finally:
        os.umask(before)

    path = folder / "serving.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "apk_" not in path.read_text()


def test_a_process_that_has_ended_runs_no_server(folder: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write(folder, pid=ended.pid)

    assert running() is None


def test_a_process_that_waits_to_be_buried_runs_no_server(folder: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    write(folder, pid=dead.pid, began=beginning(dead.pid))
    assert running() is not None

    dead.kill()
    os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)

    assert running() is None
    dead.wait()
    assert dead.stdin is not None
    dead.stdin.close()


def test_a_process_that_has_got_the_number_runs_no_server(folder: Path) -> None:
    write(folder, pid=os.getpid(), began="earlier")

    assert running() is None


def write(folder: Path, **said: object) -> None:
    announce(folder / FILE, URL)
    path = folder / "serving.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **said}))


def test_the_key_is_for_that_very_server(folder: Path) -> None:
    announce(folder / FILE, URL)

    assert key_for(address_of(URL)) == "apk_1_x"
    assert key_for(address_of("http://127.0.0.1:8378")) is None
    assert key_for(address_of("http://localhost:8377")) == "apk_1_x"
    assert key_for(address_of("http://[::1]:8377")) is None
    assert key_for(address_of("http://my.localhost:8377")) is None

    (folder / FILE).unlink()
    assert key_for(address_of(URL)) is None


def test_the_key_of_the_environment_goes_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(folder / FILE, URL)
    monkeypatch.setenv("APOTHIC_API_KEY", "k")
    assert key_for(address_of(URL)) == "apk_1_x"

    monkeypatch.setenv("APOTHIC_BACKEND", URL)

    assert key_for(address_of(URL)) == "k"


@pytest.mark.parametrize("name", ["serving.json", "admin.key"])
def test_what_others_could_have_written_is_refused(folder: Path, name: str) -> None:
    announce(folder / FILE, URL)
    (folder / name).chmod(0o644)

    with pytest.raises(UsageError, match="chmod 600"):
        key_for(address_of(URL))


@pytest.mark.parametrize("name", ["serving.json", "admin.key"])
def test_a_link_is_refused(folder: Path, name: str) -> None:
    announce(folder / FILE, URL)
    (folder / name).rename(folder / "elsewhere")
    (folder / name).symlink_to(folder / "elsewhere")

    with pytest.raises(UsageError, match="cannot be read"):
        key_for(address_of(URL))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "began": ""}'])
def test_a_file_that_is_damaged_is_refused(folder: Path, text: str) -> None:
    announce(folder / FILE, URL)
    (folder / "serving.json").write_text(text)

    with pytest.raises(UsageError, match="is damaged"):
        running()


def test_a_pipe_in_place_of_the_file_holds_nobody_up(folder: Path) -> None:
    os.mkfifo(folder / "serving.json", 0o600)

    with pytest.raises(UsageError, match="is no file"):
        running()


def test_what_was_chosen_goes_before_what_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(folder / FILE, URL)
    Profiles().put(Profile("there", "https://there.example", "k"))
    assert shared() == URL

    Profiles().choose("there")
    monkeypatch.setenv("APOTHIC_TEST_BACKEND", "remote")

    assert shared() == "remote"


def test_a_test_finds_nothing_unless_that_is_meant(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(folder / FILE, URL)
    monkeypatch.delenv("APOTHIC_TEST_BACKEND")

    assert shared() is None


def test_a_worker_finds_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    announce(folder / FILE, URL)
    monkeypatch.setenv("APOTHIC_WORKER", str(os.getpid()))

    assert shared() is None
