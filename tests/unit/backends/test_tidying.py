"""Archives that nobody needs are removed: unreferred to, or not used for longest."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from apothic_backends.archives import pack
from apothic_backends.depot import GRACE_S, Archives, Trees

LONG_AGO = 1000.0
NOW = LONG_AGO + GRACE_S + 1

HOLD = """
import sys
from pathlib import Path
from apothic_backends.depot import Trees

Trees(Path(sys.argv[1])).open(sys.argv[2], Path(sys.argv[3]))
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def archives(tmp_path: Path) -> Archives:
    return Archives(tmp_path / "archives")


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    return Trees(tmp_path / "trees")


def put(archives: Archives, text: str, used_at: float = LONG_AGO) -> str:
    """Put the archive of one file; its digest."""
    source = archives.folder.with_name("source.py")
    source.write_text(text)
    out = io.BytesIO()
    digest, data = pack([("mod.py", source)], out), out.getvalue()
    archives.put(digest, len(data), 0, data)
    os.utime(archives.path(digest), (used_at, used_at))
    return digest


def names(archives: Archives) -> set[str]:
    return {path.name for path in archives.folder.iterdir()}


def test_what_is_needed_stays_and_the_rest_goes(archives: Archives) -> None:
    needed, other = put(archives, "1"), put(archives, "2")
    archives.remove_unneeded({needed}, NOW)

    assert names(archives) == {needed}
    assert not archives.has(other)


def test_where_there_is_none_there_is_nothing_to_do(archives: Archives) -> None:
    archives.remove_unneeded(set(), NOW)

    assert not archives.folder.exists()


def test_what_was_put_a_short_while_ago_stays(archives: Archives) -> None:
    digest = put(archives, "1", NOW - GRACE_S + 1)
    archives.remove_unneeded(set(), NOW)

    assert names(archives) == {digest}


@pytest.mark.parametrize("how", ["asked for", "put again"])
def test_what_somebody_counts_on_stays(archives: Archives, how: str) -> None:
    digest = put(archives, "1")
    if how == "asked for":
        assert archives.has(digest)
    else:
        size = archives.path(digest).stat().st_size
        archives.put(digest, size, 0, b"")
    archives.remove_unneeded(set(), NOW)

    assert names(archives) == {digest}


def test_what_is_on_its_way_in_stays_and_what_was_left_there_goes(archives: Archives) -> None:
    coming = "1" * 64
    archives.put(coming, 100, 0, b"half")
    (archives.folder / f".{'2' * 64}.77.part").touch()
    for path in archives.folder.iterdir():
        os.utime(path, (LONG_AGO, LONG_AGO))
    archives.remove_unneeded(set(), NOW)

    assert names(archives) == {f".{coming}.{os.getpid()}.part"}
    archives.close()


def test_the_ones_not_used_for_longest_make_room(archives: Archives, trees: Trees) -> None:
    oldest, older, newest = (put(archives, text, at) for text, at in (("1", 1), ("2", 2), ("3", 3)))
    size = archives.path(newest).stat().st_size
    archives.make_room(2 * size, trees, newest)

    assert names(archives) == {older, newest}
    assert oldest not in names(archives)


def test_the_one_that_has_just_come_stays_however_large_it_is(
    archives: Archives, trees: Trees
) -> None:
    digest, other = put(archives, "1", 1), put(archives, "2", 2)
    archives.make_room(1, trees, digest)

    assert names(archives) == {digest}
    assert other not in names(archives)


def test_what_somebody_runs_in_stays_and_goes_after_that(
    archives: Archives, trees: Trees, tmp_path: Path
) -> None:
    used, kept = put(archives, "1", 1), put(archives, "2", 2)
    where = [str(tmp_path / "trees"), used, str(archives.path(used))]
    command = [sys.executable, "-c", HOLD, *where]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        archives.make_room(1, trees, kept)
        assert names(archives) == {used, kept}
        assert (trees.folder / used / "mod.py").read_text() == "1"
        holder.communicate()

    archives.make_room(1, trees, kept)

    assert names(archives) == {kept}
    assert not (trees.folder / used).exists()


def test_a_tree_that_was_opened_lately_was_used_lately(
    archives: Archives, trees: Trees, tmp_path: Path
) -> None:
    opened, other = put(archives, "1", 1), put(archives, "2", 2)
    where = [str(tmp_path / "trees"), opened, str(archives.path(opened))]
    subprocess.run([sys.executable, "-c", HOLD, *where], input=b"", check=True, capture_output=True)
    size = archives.path(opened).stat().st_size
    archives.make_room(size, trees, "")

    assert names(archives) == {opened}
    assert other not in names(archives)
