"""What was generated before."""

from __future__ import annotations

import json
import multiprocessing
import threading
from pathlib import Path

import pytest

from apothic import LivConfig
from apothic.generation.artifacts import Artifact
from apothic.generation.cache import Cache, DiskCache, MemoryCache, account, cache_of, kept
from apothic_backends.connection import use


def made(identity: str = "one", code: str = "def work(): ...\n") -> Artifact:
    return Artifact(identity, "demo", "work", "m", "2026-01-01T00:00:00+00:00", 1, True, code)


@pytest.fixture(params=["memory", "disk"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Cache:
    return MemoryCache() if request.param == "memory" else DiskCache(tmp_path / "cache")


def test_what_is_kept_is_found_by_its_identity(cache: Cache) -> None:
    assert cache.get("one") is None
    cache.put(made("one"))
    cache.put(made("two"))

    assert cache.get("one") == made("one")


def test_one_of_the_same_identity_takes_its_place(cache: Cache) -> None:
    cache.put(made())
    cache.put(made(code="def work(): pass\n"))

    assert cache.get("one") == made(code="def work(): pass\n")


def test_one_thread_at_a_time_generates(cache: Cache) -> None:
    is_held, inside = threading.Event(), threading.Event()

    def wait() -> None:
        is_held.set()
        with cache.only_one("one"):
            inside.set()

    with cache.only_one("one"):
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert is_held.wait(30)
        assert not inside.is_set()
    waiting.join(30)
    assert inside.is_set()


def _generate(folder: Path, count: int) -> None:
    cache = DiskCache(folder)
    with cache.only_one("one"):
        if cache.get("one") is None:
            with (folder / "generated").open("a") as file:
                file.write("x")
            cache.put(made(code=f"def work(): return {'1' * 100_000}\n"))


def test_several_processes_generate_once(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_generate, args=(folder, n)) for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (folder / "generated").read_text() == "x"


@pytest.mark.parametrize("change", ["code", "identity", "cut", "text", "huge"])
def test_h6_what_is_not_as_it_was_written_is_not_there(tmp_path: Path, change: str) -> None:
    cache = DiskCache(tmp_path)
    cache.put(made())
    path = tmp_path / "one.json"
    told = json.loads(path.read_text())
    if change == "code":
        path.write_text(json.dumps(told | {"code": "import os\n"}))
    elif change == "identity":
        path.write_text(json.dumps(told | {"identity": "two"}))
    elif change == "huge":
        path.write_text(" " * (2 << 20) + path.read_text())
    else:
        path.write_text({"cut": path.read_text()[:-3], "text": "\0"}[change])

    assert cache.get("one") is None


def test_nothing_of_half_an_artefact_stays(tmp_path: Path) -> None:
    DiskCache(tmp_path).put(made())

    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def put_into(config: LivConfig, app_name: str = "demo") -> None:
    cache_of(config, app_name).put(made())


def is_in(config: LivConfig, app_name: str = "demo") -> bool:
    return cache_of(config, app_name).get("one") is not None


def test_an_account_shares_with_all_of_its_apps(home: Path) -> None:
    put_into(LivConfig())

    assert is_in(LivConfig(), "other")


def test_an_app_shares_with_itself_alone(home: Path) -> None:
    config = LivConfig(cache="app")
    put_into(config)

    assert is_in(config)
    assert not is_in(config, "other")
    assert not is_in(LivConfig())


def test_a_custom_cache_is_shared_by_its_namespace(home: Path) -> None:
    def config(namespace: str) -> LivConfig:
        return LivConfig(cache="custom", cache_namespace=namespace)

    put_into(config("team/a"))

    assert is_in(config("team/a"), "other")
    assert not is_in(config("team_a"))
    assert not is_in(LivConfig())


class Elsewhere:
    """As much of a backend as says whose it is."""

    class address:  # noqa: N801 - as the field is called
        origin, host = "https://cloud.test:443", "cloud.test"

    def __init__(self, key: str) -> None:
        self.connection = self
        self.key = key


def test_h6_accounts_do_not_share(home: Path) -> None:
    before = use(Elsewhere("one"))  # type: ignore[arg-type]
    try:
        first = account()
        put_into(LivConfig())
        use(Elsewhere("two"))  # type: ignore[arg-type]
        assert account() != first
        assert not is_in(LivConfig())
    finally:
        use(before)


def test_the_key_of_an_account_is_in_no_name(home: Path) -> None:
    before = use(Elsewhere("secret-key"))  # type: ignore[arg-type]
    try:
        assert "secret-key" not in account()
    finally:
        use(before)


def test_all_that_is_kept_is_listed(home: Path) -> None:
    put_into(LivConfig())
    put_into(LivConfig(cache="app"))

    assert [(namespace, artifact) for namespace, _, artifact in kept()] == [
        ("local", made()),
        ("local-app-demo", made()),
    ]
