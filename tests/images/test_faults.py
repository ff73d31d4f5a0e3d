"""What goes wrong while an environment is made, and what is left of it then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from apothic import App, Image, ImageBuildFailed, JobCancelled
from apothic._connect import connected
from apothic_backends.images.venvs import Venv
from tests.images.conftest import begun, whole
from tests.images.packages import make_sdist, make_wheel
from tests.integration.support import (
    descendants,
    is_alive,
    logs,
    name_of,
    read_when_there,
    wait_gone,
    wait_until,
)
from tests.stores.disks import can_mount, fill, small_disk

SLIM = Image.debian_slim()

STUCK = """
import os, time
def build_wheel(*_):
    with open({pid!r}, "w") as file:
        file.write(f"{{os.getpid()}}\\n")
    open({gate!r}).close()
    raise RuntimeError("let go")
"""
"""The build of a package that says who it is, and goes on when a gate is opened."""

COUNTED = """
import sys
def build_wheel(folder, *_):
    with open({count!r}, "a") as file:
        file.write("built\\n")
    sys.path.insert(0, {root!r})
    from pathlib import Path
    from tests.images.packages import make_wheel
    return make_wheel(Path(folder), "slow").name
"""

BROKEN = """
def build_wheel(*_):
    with open({count!r}, "a") as file:
        file.write("built\\n")
    open({gate!r}).close()
    raise RuntimeError("no compiler")
"""

PROGRAM = """
import apothic
app = apothic.App("program")
@app.function(image=apothic.Image.debian_slim().pip_install("slow"))
def word():
    import slow
    return slow.WORD
if __name__ == "__main__":
    print(word.remote(), flush=True)
"""


@pytest.fixture
def stuck(packages: Path, tmp_path: Path) -> Path:
    """A package whose build stands still; the file with the number of the process in which."""
    os.mkfifo(tmp_path / "gate")
    pid = tmp_path / "pid"
    make_sdist(packages, "slow", STUCK.format(pid=str(pid), gate=str(tmp_path / "gate")))
    return pid


def program(tmp_path: Path) -> subprocess.Popen[str]:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    return subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_program_that_ends_while_it_builds_leaves_nothing(stuck: Path, here: Path) -> None:
    App("app").function(image=SLIM.pip_install("slow"))(os.getpid).spawn()
    builder = int(read_when_there(stuck))

    backend = connected()
    assert backend is not None
    backend.close()

    wait_gone(builder)
    assert whole(here) == []


def test_a_program_that_is_killed_while_it_builds_leaves_no_process(
    stuck: Path, home: Path, tmp_path: Path
) -> None:
    process = program(tmp_path)
    builder = int(read_when_there(stuck))

    process.kill()
    process.communicate()

    wait_gone(builder)
    assert whole(home) == []


def test_what_a_killed_program_has_begun_is_made_anew(
    stuck: Path, packages: Path, home: Path, tmp_path: Path
) -> None:
    process = program(tmp_path)
    builder = int(read_when_there(stuck))
    process.kill()
    process.communicate()
    wait_gone(builder)
    assert begun(home)
    counted(packages, tmp_path)

    assert program(tmp_path).communicate(timeout=60)[0] == "1.0\n"


def counted(packages: Path, tmp_path: Path) -> Path:
    """A package that can be built; the file with a line for each time that it was."""
    count = tmp_path / "count"
    root = str(Path(__file__).parents[2])
    make_sdist(packages, "slow", COUNTED.format(count=str(count), root=root))
    return count


def test_two_programs_at_once_make_an_environment_once(
    packages: Path, home: Path, tmp_path: Path
) -> None:
    count = counted(packages, tmp_path)

    both = [program(tmp_path) for _ in range(2)]

    assert [it.communicate(timeout=60)[0] for it in both] == ["1.0\n", "1.0\n"]
    assert count.read_text() == "built\n"


def test_a_failure_is_told_to_all_who_wait_for_it_and_the_next_call_tries_again(
    packages: Path, here: Path, tmp_path: Path
) -> None:
    count, gate = tmp_path / "count", tmp_path / "gate"
    os.mkfifo(gate)
    make_sdist(packages, "slow", BROKEN.format(count=str(count), gate=str(gate)))
    image = SLIM.pip_install("slow")
    first = App("app").function(image=image, max_containers=2)(os.getpid)
    second = App("app").function(image=image)(os.getppid)
    jobs = [first.spawn(), first.spawn(), second.spawn()]
    read_when_there(count)
    wait_until(lambda: waiting(Venv(image.spec().digest).lock) == len(jobs) - 1)

    with gate.open("w"):  # one more build would go on at once, and be counted
        for job in jobs:
            with pytest.raises(ImageBuildFailed, match="slow"):
                job.wait()
    assert count.read_text() == "built\n"
    again = first.spawn()
    wait_until(lambda: count.read_text() == "built\n" * 2)
    gate.open("w").close()
    with pytest.raises(ImageBuildFailed, match="slow"):
        again.wait()


def waiting(lock: Path) -> int:
    """How many stand before a lock that another has."""
    lines = [line for line in Path("/proc/locks").read_text().splitlines() if " -> " in line]
    return sum(f":{lock.stat().st_ino} " in line for line in lines)


def test_the_end_of_what_a_build_printed_is_in_its_error(
    packages: Path, place: Path, tmp_path: Path
) -> None:
    make_sdist(packages, "slow", "def build_wheel(*_):\n    raise RuntimeError('no compiler')\n")
    job = App("app").function(image=SLIM.pip_install("slow"))(os.getpid).spawn()

    with pytest.raises(ImageBuildFailed, match="no compiler") as told:
        job.wait()

    assert "no compiler" in told.value.data["output"]
    assert "no compiler" in logs(job)


def test_a_job_that_is_cancelled_while_its_image_is_built_does_not_run(
    stuck: Path, here: Path
) -> None:
    job = App("app").function(image=SLIM.pip_install("slow"))(os.getpid).spawn()
    builder = int(read_when_there(stuck))

    job.cancel()

    with pytest.raises(JobCancelled):
        job.wait()
    assert is_alive(builder)  # what it makes is there for the next call


def test_a_builder_that_is_killed_leaves_nothing(stuck: Path, here: Path) -> None:
    job = App("app").function(image=SLIM.pip_install("slow"))(os.getpid).spawn()
    builder = int(read_when_there(stuck))
    executors = {pid: name for pid, name in names(os.getpid()).items() if name == "apothic-1"}

    for pid in executors:
        os.kill(pid, signal.SIGKILL)
    wait_gone(builder)

    wait_until(lambda: not begun(here) or is_rebuilt(stuck, builder))
    job.cancel()


def is_rebuilt(stuck: Path, before: int) -> bool:
    return int(read_when_there(stuck)) != before


def names(pid: int) -> dict[int, str]:
    return {it: name_of(it) for it in descendants(pid)}


@pytest.mark.skipif(not can_mount(), reason="no file system can be mounted here")
def test_a_full_disk_is_named_with_the_way_out_and_the_next_call_works_when_there_is_room(
    packages: Path, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    make_wheel(packages, "large", code=f"WORD = {'x' * 1_000_000!r}")
    function = App("app").function(image=SLIM.pip_install("large"))(os.getpid)
    with small_disk(disk, 8_000_000):
        filler = fill(disk, but=700_000)
        monkeypatch.setenv("APOTHIC_HOME", str(disk / "home"))

        with pytest.raises(ImageBuildFailed, match=r"disk is full.*apothic image prune"):
            function.remote()
        assert [it for it in (disk / "home" / "images").iterdir() if it.is_dir()] == [
            disk / "home" / "images" / "ours"
        ]
        filler.unlink()
        assert function.remote()
        assert len(whole(disk / "home")) == 1

        backend = connected()
        assert backend is not None
        backend.close()
