"""What every backend does with archives of code, and with functions that run in one."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from apothic_backends.archives import pack
from apothic_backends.commands import RegisterFunction
from apothic_backends.commands.archives import GetArchive, HasArchive, PutArchive
from apothic_backends.connection import connect
from apothic_backends.model.archives import MOST_PIECE
from apothic_backends.model.errors import ArchiveRefused, InvalidOption, NotFound
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload
from tests.conformance.client import Client, value_of

Archive = tuple[str, bytes]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def archive_of(folder: Path, files: dict[str, str]) -> Archive:
    folder.mkdir(exist_ok=True)
    sources: list[tuple[str, Path]] = []
    for number, (path, text) in enumerate(files.items()):
        source = folder / str(number)
        source.write_text(text)
        sources.append((path, source))
    out = BytesIO()
    return pack(sources, out), out.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    files = {
        "shipped.py": "import helper\ndef answer(): return helper.ANSWER\n",
        "src/helper.py": "ANSWER = 42\n",
        "data/words.txt": "one two",
        "broken.py": "import not_shipped\ndef f(): ...\n",
    }
    return archive_of(tmp_path / "sources", files)


async def put(client: Client, archive: Archive) -> str:
    digest, data = archive
    at = 0
    while at < len(data):
        piece = Payload(data[at : at + 1000])
        at = await client.backend.start(PutArchive(digest, len(data), at, piece))
    return digest


async def shipped(
    client: Client, archive: Archive, function: Callable[..., Any] | str, **options: Any
) -> str:
    """A function that runs in an archive, by its address or by value; its id."""
    source = await put(client, archive)
    options = {"source": source, "path": ("", "src"), **options}
    if not isinstance(function, str):
        return await client.register(function, **options)
    spec = FunctionSpec("conformance", "shipped", **options)
    return await client.backend.start(RegisterFunction(spec, Payload(function.encode(), (), "ref")))


async def test_an_archive_that_was_put_can_be_had(client: Client, archive: Archive) -> None:
    digest, data = archive
    has = HasArchive(digest)

    assert await client.backend.start(has) is False
    assert await put(client, archive) == digest
    assert await client.backend.start(has) is True
    given = await client.backend.start(GetArchive(digest, 0))
    assert given.data == data
    assert (await client.backend.start(GetArchive(digest, len(data)))).data == b""


async def test_what_is_no_archive_is_refused(client: Client) -> None:
    data = b"rubbish" * 300
    digest = hashlib.sha256(data).hexdigest()
    start = client.backend.start

    with pytest.raises(ArchiveRefused):
        await start(PutArchive(digest, len(data), 0, Payload(data)))
    with pytest.raises(ArchiveRefused):
        await start(PutArchive(digest, 1 << 40, 0, Payload(data)))
    with pytest.raises(ArchiveRefused):
        await start(PutArchive(digest, 2 * MOST_PIECE, 0, Payload(bytes(MOST_PIECE + 1))))
    with pytest.raises(NotFound):
        await start(GetArchive(digest, 0))
    for command in (HasArchive("../x"), GetArchive("x", 0), PutArchive("x", 1, 0, Payload(b"x"))):
        with pytest.raises(InvalidOption):
            await start(command)  # type: ignore[arg-type]


async def test_archives_can_be_handled_from_inside_a_worker(
    client: Client, archive: Archive
) -> None:
    digest, data = archive

    def inside() -> tuple[bool, int, bool, bytes]:
        start = connect().start
        before = start(HasArchive(digest)).wait()
        size = start(PutArchive(digest, len(data), 0, Payload(data))).wait()
        after = start(HasArchive(digest)).wait()
        return before, size, after, start(GetArchive(digest, 0)).wait().data

    f = await client.register(inside)
    assert value_of(await client.run(f)) == (False, len(data), True, data)


async def test_a_source_that_cannot_be_is_refused(client: Client) -> None:
    for options in ({"source": "../x"}, {"path": ("../x",)}, {"path": ("/",)}, {"path": ("a//b",)}):
        with pytest.raises(InvalidOption):
            await client.register(os.getcwd, **options)


# --- functions that run in one ------------------------------------------------------------------

needs_trees = pytest.mark.needs("trees")


@needs_trees
async def test_a_function_runs_in_the_files_that_were_shipped(
    client: Client, archive: Archive
) -> None:
    def look() -> tuple[str, list[str], str]:
        names = sorted(path.name for path in Path().iterdir())
        return str(Path.cwd()), names, Path("data/words.txt").read_text()

    cwd, names, words = value_of(await client.run(await shipped(client, archive, look)))

    assert Path(cwd).name == archive[0]
    assert (names, words) == (["broken.py", "data", "shipped.py", "src"], "one two")


@needs_trees
async def test_its_modules_are_those_that_were_shipped(client: Client, archive: Archive) -> None:
    f = await shipped(client, archive, "shipped:answer")

    assert value_of(await client.run(f)) == 42


@needs_trees
async def test_nothing_else_of_its_user_is_there(client: Client, archive: Archive) -> None:
    def search() -> list[str]:
        return [entry for entry in sys.path if "site-packages" not in entry]

    here = str(Path(__file__).parent)
    sys.path.insert(0, here)
    try:
        found = value_of(await client.run(await shipped(client, archive, search)))
    finally:
        sys.path.remove(here)

    assert here not in found
    assert "" not in found
    assert [Path(entry).name for entry in found[:2]] == [archive[0], "src"]


@needs_trees
async def test_a_module_that_was_not_shipped_is_not_found(client: Client, archive: Archive) -> None:
    outcome = await client.run(await shipped(client, archive, "broken:f"))

    assert outcome.error is not None
    assert outcome.error.code == "setup_failed"
    assert "No module named 'not_shipped'" in outcome.error.message
    assert "`apothic package --list`" in outcome.error.message


@needs_trees
async def test_a_file_that_was_not_shipped_is_not_found(client: Client, archive: Archive) -> None:
    def read(name: str) -> str:
        return Path(name).read_text()

    f = await shipped(client, archive, read)
    missing, elsewhere = await client.run(f, "data/more.txt"), await client.run(f, "/no/such/file")

    assert missing.error is not None
    assert "`apothic package --list`" in missing.error.traceback
    assert elsewhere.error is not None
    assert "apothic package" not in elsewhere.error.traceback


@needs_trees
async def test_without_its_archive_a_function_cannot_be_loaded(client: Client) -> None:
    outcome = await client.run(await client.register(os.getcwd, source="0" * 64))

    assert outcome.error is not None
    assert outcome.error.code == "setup_failed"
    assert "deploy again" in outcome.error.message


@needs_trees
async def test_two_versions_run_side_by_side(client: Client, tmp_path: Path) -> None:
    found: list[str] = []
    for number in (1, 2):
        files = {"version.py": f"def which(): return {number}"}
        version = archive_of(tmp_path / "sources", files)
        found.append(await shipped(client, version, "version:which"))

    assert [value_of(await client.run(f)) for f in (*found, *found)] == [1, 2, 1, 2]


@needs_trees
async def test_what_it_calls_from_afar_runs_in_the_same_files(
    client: Client, tmp_path: Path
) -> None:
    program = """
import os
from apothic import App
app = App("shipped")

@app.function
def inner():
    return os.getcwd()

@app.function
def outer():
    return os.getcwd(), inner.remote()
"""
    version = archive_of(tmp_path / "sources", {"program.py": program})
    f = await shipped(client, version, "program:outer.__wrapped__")
    outer, inner = value_of(await client.run(f))

    assert Path(outer).name == version[0]
    assert inner == outer


@needs_trees
async def test_an_async_function_runs_there_too(client: Client, archive: Archive) -> None:
    async def look() -> str:
        return Path.cwd().name

    f = await shipped(client, archive, look, is_async=True)
    assert value_of(await client.run(f)) == archive[0]
