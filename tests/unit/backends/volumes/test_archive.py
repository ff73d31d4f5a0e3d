from __future__ import annotations

import io
import tarfile
from collections.abc import Callable

import pytest

from apothic_backends.model.errors import FileRefused, PathRefused
from apothic_backends.volumes.archive import read_tar, write_tar
from apothic_backends.volumes.files import Files
from apothic_backends.volumes.local import PORTABLE, Volumes
from apothic_backends.volumes.store import Store
from tests.unit.backends.volumes.support import contents, copied, put, write


def tar_of(*members: tarfile.TarInfo) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for member in members:
            data = b"x" * member.size
            tar.addfile(member, io.BytesIO(data) if member.isreg() else None)
    out.seek(0)
    return out


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    made.size = 3 if kind == tarfile.REGTYPE else 0
    return made


def test_a_volume_goes_out_and_comes_in_again_as_it_was(volumes: Volumes, store: Store) -> None:
    view = copied(store)
    write(view.copy, "d/line\nbreak", "1")
    write(view.copy, "d/" + "n" * 200, "2")
    (view.copy / "d/link").symlink_to("../run")
    write(view.copy, "run", "3")
    (view.copy / "run").chmod(0o755)
    (view.copy / "empty").mkdir()
    view.commit()
    out = io.BytesIO()
    write_tar(store, out)
    out.seek(0)
    other = volumes.open("other", create=PORTABLE)
    read_tar(other, out)

    plain = {p: e._replace(rev=0, mtime_ns=0) for p, e in store.read().entries.items()}
    assert {p: e._replace(rev=0, mtime_ns=0) for p, e in other.read().entries.items()} == plain


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: tar_of(member("/etc/cron.d/x")), PathRefused),
        (lambda: tar_of(member("../x")), PathRefused),
        (lambda: tar_of(member("a/../../x")), PathRefused),
        (lambda: tar_of(member("l", tarfile.SYMTYPE, "/etc"), member("l/x")), PathRefused),
        (lambda: tar_of(member("l", tarfile.SYMTYPE, "../..")), PathRefused),
        (lambda: tar_of(member("h", tarfile.LNKTYPE, "/etc/passwd")), FileRefused),
        (lambda: tar_of(member("f", tarfile.FIFOTYPE)), FileRefused),
        (lambda: tar_of(member("c", tarfile.CHRTYPE)), FileRefused),
        (lambda: tar_of(member("b", tarfile.BLKTYPE)), FileRefused),
        (lambda: tar_of(member("x"), member("./x")), FileRefused),
        (lambda: io.BytesIO(b"no tar at all" * 100), FileRefused),
        (lambda: io.BytesIO(tar_of(member("good"), member("cut")).read()[:1500]), FileRefused),
    ],
)
def test_a_hostile_or_broken_tar_puts_nothing_anywhere(
    store: Store, make: Callable[[], io.BytesIO], error: type[Exception]
) -> None:
    put(Files(store), "kept", "1")

    with pytest.raises(error):
        read_tar(store, make())
    assert contents(store) == {"kept": "1"}


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_would_fill_the_memory_is_not_read(store: Store, kind: bytes) -> None:
    made = tarfile.TarInfo("x")
    made.type, made.size = kind, 2 << 20
    with pytest.raises(FileRefused, match="size"):
        read_tar(store, io.BytesIO(made.tobuf(tarfile.GNU_FORMAT)))


def test_a_size_below_zero_is_refused(store: Store) -> None:
    made = member("x")
    made.size = -512
    with pytest.raises(FileRefused, match="size"):
        read_tar(store, io.BytesIO(made.tobuf(tarfile.GNU_FORMAT)))


def test_set_user_id_does_not_come_in(store: Store) -> None:
    root = member("su")
    root.mode = 0o4755
    read_tar(store, tar_of(root))

    assert Files(store).stat("su").mode == 0o755


def test_a_file_through_a_link_inside_is_no_file_of_the_link(store: Store) -> None:
    read_tar(store, tar_of(member("d", tarfile.DIRTYPE), member("l", tarfile.SYMTYPE, "d")))

    assert Files(store).stat("l").target == "d"
