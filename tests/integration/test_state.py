"""Programs that keep their state, and are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from apothic_emulator.core.pools import PREFETCH_MOST

PROGRAM = """
import os, sys, time
from pathlib import Path
import apothic

app = apothic.App("kept")
HERE = Path(__file__).parent

def ran(name):
    with (HERE / name).open("a") as file:
        file.write("ran\\n")

@app.function(max_pending_tasks=1000)
def quick(n):
    return n + 1

@app.function()
def once(name, release):
    ran(name)
    while not (HERE / release).exists():
        time.sleep(0.01)

@app.function(retries=apothic.Retries(max_retries=1, initial_delay=0))
def again(name, release):
    ran(name)
    while not (HERE / release).exists():
        time.sleep(0.01)
    return "done"

@app.function()
def over_all(names):
    return again.starmap([(name, "never") for name in names])

def say(*what):
    print(*what, flush=True)

def wait_for(name):
    while not (HERE / name).exists():
        time.sleep(0.01)
"""


class Programs:
    """Programs of one folder, with a state of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "kept.py").write_text(PROGRAM)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("APOTHIC_")},
            "APOTHIC_STATE": "sqlite",
            "PYTHONPATH": str(folder),
        }

    def start(self, body: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", f"from kept import *\n{body}"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, body: str) -> tuple[str, str]:
        process = self.start(body)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return out.strip(), err.strip()

    def killed(self, body: str) -> str:
        """What a program says in one line before it is killed with all that it has started."""
        process = self.start(body)
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        return said


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def test_acknowledged_jobs_are_there_after_a_kill(programs: Programs) -> None:
    said = programs.killed("say(*[quick.spawn(n).job_id for n in range(20)]); time.sleep(60)")
    ids = said.split()
    assert len(ids) == 20

    out, _ = programs.run(f"say(*[apothic.Job.from_id(i).status() for i in {ids}])")

    assert set(out.split()) <= {"queued", "dispatched", "running", "succeeded", "lost"}


def test_queued_jobs_run_after_a_kill(programs: Programs) -> None:
    body = "once.spawn('a', 'never'); jobs = [quick.spawn(n) for n in range(50)]; wait_for('a');"
    programs.killed(f"{body} once.spawn('b', 'never'); say('queued'); time.sleep(60)")

    wait = "job.wait(timeout_s=30)"
    out, _ = programs.run(
        f"jobs = [apothic.Job.from_id(f'jobs:{{n}}') for n in range(2, 52)]\n"
        f"for job in jobs:\n"
        f"  try: {wait}\n"
        f"  except apothic.WorkerLost: pass\n"
        "say(sum(job.status() == 'succeeded' for job in jobs))"
    )

    assert int(out) >= 50 - PREFETCH_MOST - 1  # those that an executor had in its hands are lost


def test_a_job_without_retries_begins_at_most_once_over_a_kill(programs: Programs) -> None:
    programs.killed("job = once.spawn('a', 'never'); wait_for('a'); say('runs'); time.sleep(60)")

    out, _ = programs.run(
        "try: apothic.Job.from_id('jobs:1').wait()\n"
        "except apothic.WorkerLost as error: say(error.reason, error.maybe_ran)"
    )

    assert out == "restart True"
    assert (programs.folder / "a").read_text() == "ran\n"


def test_what_a_job_waited_for_is_not_run_again_after_a_kill(programs: Programs) -> None:
    programs.killed("over_all.spawn(['a']); wait_for('a'); say('runs'); time.sleep(60)")

    out, _ = programs.run(
        "for n in (1, 2):\n"
        "  try: say(apothic.Job.from_id(f'jobs:{n}').status())\n"
        "  except apothic.JobGone: say('gone')"
    )

    assert out.split() == ["lost", "gone"]


def test_a_job_with_retries_runs_again_after_a_kill(programs: Programs) -> None:
    programs.killed("job = again.spawn('a', 'go'); wait_for('a'); say('runs'); time.sleep(60)")
    (programs.folder / "go").touch()

    out, _ = programs.run("say(apothic.Job.from_id('jobs:1').wait())")

    assert out == "done"
    assert (programs.folder / "a").read_text() == "ran\n" * 2


def test_results_are_there_for_the_next_program(programs: Programs) -> None:
    programs.killed("job = quick.spawn(41); job.wait(); say('done'); time.sleep(60)")

    assert programs.run("say(apothic.Job.from_id('jobs:1').wait())")[0] == "42"


def test_ids_go_on_rising_from_program_to_program(programs: Programs) -> None:
    spawn = "job = quick.spawn(1); say(job.job_id); job.wait()"

    assert [programs.run(spawn)[0] for _ in range(3)] == ["jobs:1", "jobs:2", "jobs:3"]


def test_jobs_that_a_program_leaves_are_counted_and_go_on(programs: Programs) -> None:
    _, err = programs.run("job = again.spawn('a', 'go'); wait_for('a')")
    assert f"1 unfinished job is kept in {programs.folder}/.apothic/state/default" in err
    (programs.folder / "go").touch()

    assert programs.run("say(apothic.Job.from_id('jobs:1').wait())")[0] == "done"


def test_a_second_program_on_the_same_state_is_refused(programs: Programs) -> None:
    first = programs.start("quick.remote(1); say('open'); wait_for('end')")
    assert first.stdout is not None
    first.stdout.readline()

    out, _ = programs.run(
        "try: quick.remote(1)\nexcept apothic.StoreLocked as error: say(error.owner['pid'], error)"
    )

    assert out.startswith(f"{first.pid} ")
    assert "APOTHIC_NAMESPACE" in out
    programs.environment["APOTHIC_NAMESPACE"] = "other"
    assert programs.run("say(quick.remote(1))")[0] == "2"
    (programs.folder / "end").touch()
    first.communicate()


def test_the_project_says_where_its_state_is(programs: Programs) -> None:
    del programs.environment["APOTHIC_STATE"]
    assert programs.run("say(app.durability())")[0] == "process"
    (programs.folder / "pyproject.toml").write_text('[tool.apothic]\nstate = "sqlite:s/x.db"\n')

    assert programs.run("say(app.durability())")[0] == "disk"

    assert (programs.folder / "s" / "x.db").exists()


def test_code_in_a_worker_knows_how_durable_its_calls_are(programs: Programs) -> None:
    ask = "@app.function(serialized=True)\ndef ask(): return app.durability()\nsay(ask.remote())"

    assert programs.run(ask.replace("(serialized=True)", "()"))[0] == "disk"


@pytest.mark.parametrize("url", ["sqlit", "mysql://u:secret@host/db", "surrealdb+ws://host"])
def test_a_place_that_there_is_not_is_refused(programs: Programs, url: str) -> None:
    programs.environment["APOTHIC_STATE"] = url

    out, _ = programs.run("try: quick.remote(1)\nexcept apothic.InvalidOption as e: say(e)")

    assert "surrealdb+ws://host" in out
    assert "secret" not in out


@pytest.mark.parametrize("name", ["..", "a/b", ".hidden", "x" * 65, "a b"])
def test_a_name_that_is_no_namespace_is_refused(programs: Programs, name: str) -> None:
    programs.environment["APOTHIC_NAMESPACE"] = name

    out, _ = programs.run("try: quick.remote(1)\nexcept apothic.InvalidOption as e: say(e)")

    assert "namespace" in out
    assert not list(programs.folder.rglob("state.db"))


def test_the_folder_is_nobody_elses(programs: Programs) -> None:
    programs.run("quick.remote(1)")

    own = programs.folder / ".apothic"
    assert (own / ".gitignore").read_text() == "*\n"
    loose = [path for path in (own, *own.rglob("state*")) if path.stat().st_mode & 0o077]
    assert not loose


def test_a_fork_of_a_program_holds_its_state_no_longer_than_that(programs: Programs) -> None:
    body = (
        "quick.remote(1)\nif not os.fork():\n"
        "  (HERE / 'pid').write_text(str(os.getpid()))\n"
        "  os.closerange(0, 3)\n  time.sleep(60)\n  os._exit(0)\n"
        "wait_for('pid'); say('forked')"
    )
    programs.killed(f"{body}\ntime.sleep(60)")
    child = (programs.folder / "pid").read_text()

    assert programs.run("say(quick.remote(1))")[0] == "2"

    os.kill(int(child), signal.SIGKILL)
