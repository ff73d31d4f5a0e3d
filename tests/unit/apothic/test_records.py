from __future__ import annotations

import os
from pathlib import Path

import pytest

from apothic.cli import records
from apothic.cli.records import JobRecord
from apothic_backends.model.errors import NotFound, UsageError
from apothic_backends.model.payloads import Payload


def record(job_id: str, file: Path | str = "/elsewhere/report.py", size: int = 10) -> JobRecord:
    arguments = Payload(b"x" * size)
    return JobRecord(job_id, str(file), "app", "fn", "failed", "KeyError: 1", 5.0, arguments)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_written_is_read() -> None:
    records.write([record("jobs:3")])

    assert records.read("jobs:3") == record("jobs:3")


def test_records_are_found_from_anywhere_in_the_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.write([record("jobs:3")])
    (project / "deeper").mkdir()
    monkeypatch.chdir(project / "deeper")

    assert records.read("jobs:3").job_id == "jobs:3"


def test_a_file_of_the_project_moves_with_it(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.write([record("jobs:1", project / "src" / "report.py")])
    moved = tmp_path_factory.mktemp("moved") / "project"
    project.rename(moved)
    monkeypatch.chdir(moved)

    assert records.read("jobs:1").file == str(moved / "src" / "report.py")


def test_nobody_else_can_read_them_and_git_does_not_see_them(project: Path) -> None:
    before = os.umask(0)
    try:
        records.write([record("jobs:3")])
    finally:
        os.umask(before)

    kept = project / ".apothic"
    assert (kept / "replay" / "jobs-3").stat().st_mode & 0o777 == 0o600
    assert [folder.stat().st_mode & 0o777 for folder in (kept, kept / "replay")] == [0o700] * 2
    assert (kept / ".gitignore").read_text() == "*\n"


def test_the_latest_run_wins() -> None:
    records.write([record("jobs:3", size=1)])
    records.write([record("jobs:3", size=2)])

    assert records.read("jobs:3").arguments.nbytes == 2


def test_the_newest_can_be_asked_for() -> None:
    records.write([record("jobs:9"), record("jobs:3")])

    assert records.read("@failed").job_id == "jobs:3"


def test_the_oldest_go_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_RECORDS", 3)
    records.write([record(f"jobs:{n}") for n in range(1, 6)])

    with pytest.raises(NotFound, match="there are: jobs:5, jobs:4, jobs:3"):
        records.read("jobs:1")


def test_the_oldest_go_when_they_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_BYTES", 3000)
    records.write([record(f"jobs:{n}", size=1200) for n in range(1, 4)])

    with pytest.raises(NotFound, match="there are: jobs:3, jobs:2"):
        records.read("jobs:1")


@pytest.mark.parametrize("job_id", ["jobs:1", "@failed"])
def test_where_nothing_was_recorded_nothing_is_found(job_id: str) -> None:
    with pytest.raises(NotFound, match="there are: none"):
        records.read(job_id)


@pytest.mark.parametrize("job_id", ["", "3", "functions:1", "jobs:../x"])
def test_what_is_no_id_is_refused(job_id: str) -> None:
    with pytest.raises(UsageError):
        records.read(job_id)


@pytest.mark.parametrize("place", ["replay/jobs-3", "replay", "."])
def test_what_others_may_write_is_not_loaded(project: Path, place: str) -> None:
    records.write([record("jobs:3")])
    path = project / ".apothic" / place
    path.chmod(path.stat().st_mode | 0o020)

    with pytest.raises(UsageError, match="could have been written by somebody else"):
        records.read("jobs:3")


def test_a_link_is_not_followed(project: Path) -> None:
    records.write([record("jobs:3")])
    path = project / ".apothic" / "replay" / "jobs-3"
    path.rename(project / "real")
    path.symlink_to(project / "real")

    with pytest.raises(UsageError, match="it is a link"):
        records.read("jobs:3")


@pytest.mark.parametrize(
    "text", [b"", b"{}\n", b"[]\n", b'{"schema": "other"}\n', b'{"schema": "apothic.replay.v1"}\n']
)
def test_what_is_no_record_is_refused(project: Path, text: bytes) -> None:
    records.write([record("jobs:3")])
    (project / ".apothic" / "replay" / "jobs-3").write_bytes(text)

    with pytest.raises(UsageError, match="is no record of this version"):
        records.read("jobs:3")
