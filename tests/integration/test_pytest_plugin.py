"""The pytest plugin, by pytest's own `pytester`: whole test files, as their authors run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

APP = """
import time
from apothic import App, Retries

app = App("shop")

@app.function()
def double(n):
    return 2 * n

@app.function(retries=Retries(max_retries=3, initial_delay=60, backoff_coefficient=1))
def flaky():
    print("trying")
    raise ValueError("never mind")

@app.function(retries=1)
def sturdy():
    return "done"

@app.function()
def sleep(seconds):
    time.sleep(seconds)
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("APOTHIC_BACKEND", raising=False)
    pytester.makepyfile(shop=APP)
    return Run(pytester)


class Run:
    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester

    def __call__(self, source: str, *options: str, **outcomes: int) -> pytest.RunResult:
        """Run a test file in a process of its own, and see how it went."""
        head = "import os, time, pytest\nfrom datetime import datetime, timedelta, UTC\n"
        self.pytester.makepyfile(test_it=f"{head}from shop import *\n\n{source}")
        result = self.pytester.runpytest_subprocess("-q", *options)
        result.assert_outcomes(**outcomes)
        return result


# --- runtimes ------------------------------------------------------------------------------------


def test_a_start_of_pytest_imports_nothing_of_ours_but_the_plugins(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text(
        "import sys\n"
        "def test_nothing():\n"
        "    ours = sorted(m for m in sys.modules if m.startswith('apothic'))\n"
        "    assert ours == ['apothic', 'apothic.fixtures', 'apothic_emulator',\n"
        "        'apothic_emulator.pytest_plugin']\n"
    )

    for options in ([], ["-p", "apothic"]):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *options, str(tmp_path)],
            check=False,
            capture_output=True,
            cwd=tmp_path,
            text=True,
        )
        assert "1 passed" in done.stdout, done.stdout


def test_each_test_has_a_fresh_runtime(run: Run) -> None:
    run(
        """
@pytest.mark.parametrize("turn", range(3))
def test_ids_begin_anew(apothic_runtime, apothic_events, turn):
    assert len(apothic_events) == 0
    assert double.spawn(1).wait() == 2
    assert double.spawn(2).job_id == "jobs:2"
    double.remote(0)

@pytest.mark.apothic
def test_a_mark_is_enough():
    assert double.spawn(1).job_id == "jobs:1"
    double.remote(1)
""",
        passed=4,
    )


def test_a_factory_gives_several_runtimes_at_once(run: Run) -> None:
    run(
        """
def test_two(apothic_runtime_factory):
    with apothic_runtime_factory.open() as one, apothic_runtime_factory.open() as two:
        assert double.remote(1) == 2
        assert (len(one.events.of("job.end")), len(two.events.of("job.end"))) == (0, 1)
""",
        passed=1,
    )


def test_a_runtime_is_as_its_mark_says(run: Run) -> None:
    run(
        """
@pytest.mark.apothic(start="2026-03-28T12:00", seed=7)
def test_virtual(apothic_clock, apothic_faults):
    assert apothic_clock.now() == datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert apothic_faults.seed == 7

@pytest.mark.apothic(clock="real")
def test_real(apothic_clock):
    assert abs(apothic_clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
""",
        passed=2,
    )


def test_a_mark_that_cannot_be_meant_is_refused(run: Run) -> None:
    told = {
        "clok='real'": "takes clock, leaks, seed, start, not clok",
        "clock='sundial'": "it is 'virtual' or 'real'",
        "start='tomorrow'": "no ISO date",
        "start=5": "it is a datetime",
        "leaks='maybe'": "one of error, warn, off",
    }
    tests = [f"@pytest.mark.apothic({mark})\ndef test_{i}(): pass" for i, mark in enumerate(told)]

    result = run("\n\n".join(tests), errors=len(told))

    result.stdout.fnmatch_lines([f"*{text}*" for text in told.values()])


def test_another_backend_is_refused_with_the_way_out(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APOTHIC_BACKEND", "cloud")

    result = run("def test_it(apothic_runtime): pass", errors=1)

    result.stdout.fnmatch_lines(["*APOTHIC_BACKEND=cloud*Unset it*"])


def test_only_the_local_backend_can_be_opened_meanwhile(run: Run) -> None:
    run(
        """
from apothic_backends.registry import open_backend
from apothic import UsageError, NotFound

def test_it(apothic_runtime):
    assert os.environ["APOTHIC_BACKEND"] == "local"
    with pytest.raises(UsageError, match="fixture of Apothic is active"):
        open_backend("cloud")

def test_after_it():
    assert "APOTHIC_BACKEND" not in os.environ
    with pytest.raises(NotFound):
        open_backend("cloud")
""",
        passed=2,
    )


# --- time and events -----------------------------------------------------------------------------


def test_minutes_of_retries_pass_at_once(run: Run) -> None:
    run(
        """
def test_blocking(apothic_clock, apothic_events):
    before = apothic_clock.now()
    with pytest.raises(ValueError):
        flaky.remote()
    assert timedelta(minutes=3) <= apothic_clock.now() - before < timedelta(minutes=4)
    assert [e.data["delay_s"] for e in apothic_events.of("job.retry", fn=flaky)] == [60, 60, 60]
    again = ("job.retry", {"attempt": 2})
    apothic_events.assert_order(["job.queued", "job.running", again, "job.end"])
    with pytest.raises(AssertionError, match="no job.queued after job.end"):
        apothic_events.assert_order(["job.end", "job.queued"])

def test_step_by_step(apothic_clock, apothic_events):
    job = flaky.spawn()
    apothic_clock.advance("90s")
    assert len(apothic_events.of("job.retry", job=job)) == 2
    apothic_clock.advance("1h")
    assert job.status() == "failed"

@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_awaited(apothic_clock, apothic_events):
    before = apothic_clock.now()
    with pytest.raises(ValueError):
        await flaky.remote.aio()
    assert apothic_clock.now() - before >= timedelta(minutes=3)
    job = await flaky.spawn.aio()
    event = await apothic_events.wait_for.aio("job.end", job=job)
    assert event.data["error"] == "user_error"
    await apothic_clock.advance.aio("1d")
""",
        passed=4,
    )


def test_an_event_is_waited_for(run: Run) -> None:
    run(
        """
def test_it(apothic_events):
    job = flaky.spawn()
    second = apothic_events.wait_for("job.retry", job=job, attempt=2)
    third = apothic_events.wait_for("job.retry", job=job, after=second)
    assert third.data["attempt"] == 3
    assert apothic_events.wait_for("job.retry", fn="flaky").data["attempt"] == 1
    job.cancel()

def test_in_vain(apothic_events):
    double.remote(1)
    with pytest.raises(AssertionError, match="nothing more can happen"):
        apothic_events.wait_for("job.retry", timeout_s=60)

@pytest.mark.apothic(clock="real")
def test_in_vain_in_real_time(apothic_events):
    with pytest.raises(AssertionError, match="no job.retry in time"):
        apothic_events.wait_for("job.retry", timeout_s=0.1)

@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_awaited_in_vain(apothic_events):
    await double.remote.aio(1)
    with pytest.raises(AssertionError, match="nothing more can happen"):
        await apothic_events.wait_for.aio("job.retry", timeout_s=60)
""",
        passed=5,
    )


def test_schedules_run_by_the_clock(run: Run) -> None:
    run(
        """
from apothic import Cron, Period
from zoneinfo import ZoneInfo

plan = App("plan")

@plan.function(schedule=Cron("0 3 * * *", "Europe/Berlin"))
def nightly(): return "done"

@plan.function(schedule=Cron("0 * * * *", "Europe/Berlin"))
def hourly(): pass

@plan.function(schedule=Period(months=1))
def monthly(): pass

def only(*names):
    app = App("only")
    app.functions.update({name: plan.functions[name] for name in names})
    return app

@pytest.mark.apothic(start="2026-01-01T00:00")
def test_a_year_of_nights(apothic_app, apothic_clock, apothic_events):
    running = apothic_app(only("nightly", "monthly"))
    assert list(running) == ["nightly", "monthly"]
    apothic_clock.advance("365d")
    assert len(apothic_events.of("job.end", fn=nightly, status="succeeded")) == 365
    assert len(apothic_events.of("job.end", fn="monthly")) == 12
    assert running.schedules["nightly"].fired == 365
    berlin = ZoneInfo("Europe/Berlin")
    due = [e.data["scheduled_at"] for e in apothic_events.of("schedule.fired", function="nightly")]
    assert {datetime.fromtimestamp(at, berlin).hour for at in due} == {3}
    assert running["nightly"].remote() == "done"

@pytest.mark.apothic(start="2026-03-15T00:30")
def test_a_month_of_hours(apothic_app, apothic_clock, apothic_events):
    apothic_app(only("hourly"))
    apothic_clock.advance("30d")
    assert len(apothic_events.of("schedule.fired")) == 30 * 24
    assert apothic_events.of("schedule.skipped") == []

def test_an_app_stops_with_its_test(apothic_app, apothic_clock, apothic_events):
    assert apothic_events.of("schedule.fired") == []
    apothic_clock.advance("30d")
    assert len(apothic_events) == 0
""",
        passed=3,
    )


IMAGED = """
import os
from apothic import App, Cron, Image

app, other, timed = App("imaged"), App("bringing"), App("timed")
image = Image.debian_slim().env(MODE="fast")
bringing = image.add_local_python_source("shop")

@app.function(image=image, schedule=Cron("0 3 * * *"))
def nightly(): return os.environ["MODE"]

@other.function(image=bringing)
def called(): return os.environ["MODE"]

@timed.function(image=bringing, schedule=Cron("0 3 * * *"))
def later(): return os.environ["MODE"]
"""


def test_the_functions_of_an_app_have_their_images(run: Run) -> None:
    run.pytester.makepyfile(imaged=IMAGED)
    run(
        """
import imaged

def test_a_scheduled_run(apothic_app, apothic_clock, apothic_events):
    running = apothic_app(imaged.app)
    assert running["nightly"].remote() == "fast"
    apothic_clock.advance("1d")
    assert len(apothic_events.of("job.end", fn="nightly", status="succeeded")) == 2

def test_an_image_that_brings_files(apothic_app):
    assert apothic_app(imaged.other)["called"].remote() == "fast"

def test_a_schedule_with_such_an_image(apothic_app, apothic_clock, apothic_events):
    apothic_app(imaged.timed)
    apothic_clock.advance("1d")
    assert len(apothic_events.of("job.end", fn="later", status="succeeded")) == 1
""",
        passed=3,
    )


# --- faults --------------------------------------------------------------------------------------


def test_workers_are_killed_at_will(run: Run) -> None:
    run(
        """
from apothic import MemoryLimitExceeded, WorkerLost

def test_retried(apothic_faults, apothic_events):
    apothic_faults.kill_worker(sturdy)
    assert sturdy.remote() == "done"
    assert [e.data["error"] for e in apothic_events.of("job.retry")] == ["worker_lost"]
    assert apothic_faults.fallen == ["kill: jobs:1 sturdy()"]

def test_lost(apothic_faults):
    job = sleep.spawn(60)
    apothic_faults.kill_worker(job)
    with pytest.raises(WorkerLost, match="signal 9"):
        job.wait()

def test_lost_while_it_runs(apothic_faults, apothic_events):
    job = sleep.spawn(60)
    apothic_events.wait_for("job.running", job=job)
    apothic_faults.kill_worker(job)
    with pytest.raises(WorkerLost):
        job.wait()

def test_lost_report(apothic_faults):
    apothic_faults.drop("job.report", fn=double, times=2)
    for _ in range(2):
        with pytest.raises(WorkerLost):
            double.remote(1)
    assert double.remote(1) == 2

def test_out_of_memory(apothic_faults):
    apothic_faults.oom(double)
    with pytest.raises(MemoryLimitExceeded, match="memory_mb=1024"):
        double.remote(1)

def test_everything_else_is_spared(apothic_faults):
    apothic_faults.kill_worker(sturdy)
    assert double.remote(1) == 2
    assert apothic_faults.pending == ["kill of sturdy"]

@pytest.mark.apothic(clock="real")
def test_in_real_time(apothic_faults):
    apothic_faults.kill_worker(sturdy)
    apothic_faults.delay("job.report", 0.1, fn=sturdy)
    assert sturdy.remote() == "done"
    assert len(apothic_faults.fallen) == 2
""",
        passed=7,
    )


def test_a_report_is_late(run: Run) -> None:
    run(
        """
from apothic import JobTimeout

def test_in_time(apothic_faults, apothic_clock):
    before = apothic_clock.now()
    apothic_faults.delay("job.report", "9m", fn=double)
    assert double.remote(1) == 2
    assert apothic_clock.now() - before >= timedelta(minutes=9)

def test_too_late(apothic_faults, apothic_clock):
    apothic_faults.delay("job.report", "11m", fn=double)
    with pytest.raises(JobTimeout):
        double.remote(1)
    assert double.remote(1) == 2
""",
        passed=2,
    )


def test_chance_is_the_same_with_the_same_seed(run: Run) -> None:
    run(
        """
from apothic import WorkerLost

def spared(apothic_faults):
    apothic_faults.drop("job.report", times=6, chance=0.5)
    found = []
    for _ in range(6):
        try:
            double.remote(1)
            found.append(True)
        except WorkerLost:
            found.append(False)
    return found

seen = []

@pytest.mark.apothic(seed=3)
@pytest.mark.parametrize("turn", [1, 2])
def test_twice(apothic_faults, turn):
    seen.append(spared(apothic_faults))
    assert set(seen[0]) == {True, False}
    assert all(one == seen[0] for one in seen)
""",
        passed=2,
    )


def test_a_fault_that_cannot_be_meant_is_refused(run: Run) -> None:
    run(
        """
from apothic import UsageError

@pytest.mark.parametrize(
    "wrong",
    [
        lambda faults: faults.drop("queue.ack"),
        lambda faults: faults.delay("job.start", 1),
        lambda faults: faults.delay("job.report", "soon"),
        lambda faults: faults.kill_worker(5),
        lambda faults: faults.kill_worker(times=0),
        lambda faults: faults.drop("job.report", chance=2),
    ],
)
def test_it(apothic_faults, wrong):
    with pytest.raises(UsageError):
        wrong(apothic_faults)
    assert apothic_faults.pending == []
""",
        passed=6,
    )


# --- reports and leaks ---------------------------------------------------------------------------


def test_a_failure_tells_what_happened(run: Run) -> None:
    result = run(
        """
def test_it(apothic_faults):
    apothic_faults.drop("job.report", fn=double)
    apothic_faults.drop("job.report", fn="nobody")
    with pytest.raises(ValueError):
        flaky.remote()
    double.remote(1)
""",
        failed=1,
    )

    result.stdout.fnmatch_lines(
        [
            "*apothic events*",
            "*2026-01-01 00:01:*job.retry*jobs:1*flaky*attempt=2*delay_s=60*",
            "*apothic logs*",
            "jobs:1  trying",
            "*apothic faults, seed=*",
            "drop: jobs:2 double()",
            "still to come: drop of nobody",
        ]
    )


LEAKY = """
def test_leaky(apothic_events):
    job = sleep.spawn(60)
    apothic_events.wait_for("job.running", job=job)

def test_clean(apothic_runtime):
    assert double.remote(1) == 2
"""


def test_what_is_left_running_fails_the_test_by_name(run: Run) -> None:
    result = run(LEAKY, passed=2, errors=1)

    result.stdout.fnmatch_lines(["*left running*", "*jobs:1 sleep() is running in process *"])


def test_leaks_may_be_a_warning(run: Run) -> None:
    run.pytester.makeini("[pytest]\napothic_leaks = warn\n")

    result = run(LEAKY, passed=2, warnings=1)

    result.stdout.fnmatch_lines(["*jobs:1 sleep() is *"])


def test_leaks_may_be_allowed(run: Run) -> None:
    run(
        LEAKY.replace("def test_leaky", "@pytest.mark.apothic(leaks='off')\ndef test_leaky"),
        passed=2,
    )


def test_a_test_that_has_failed_does_not_fail_again_for_its_leaks(run: Run) -> None:
    run("def test_it(apothic_runtime):\n    sleep.spawn(60)\n    assert False", failed=1)


def test_a_leak_names_what_the_job_has_started(run: Run) -> None:
    result = run(
        """
import subprocess
@app.function()
def start():
    subprocess.run(["sleep", "60"])

def test_it(apothic_runtime, tmp_path):
    job = start.spawn()
    while not any("sleep" in line for line in left(apothic_runtime)):
        time.sleep(0.01)

def left(runtime):
    from apothic_emulator.testing.leaks import find_leaks
    return find_leaks(runtime.host)
""",
        passed=1,
        errors=1,
    )

    result.stdout.fnmatch_lines(["*jobs:1 start() is running in process *which started * (sleep)*"])


def test_tests_run_side_by_side(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
        monkeypatch.delenv(name)  # this test may be in a worker itself
    source = """
@pytest.mark.parametrize("turn", range(6))
def test_it(apothic_clock, turn):
    with pytest.raises(ValueError):
        flaky.remote()
    assert double.spawn(turn).job_id == "jobs:2"
    double.remote(1)
"""

    run(source, "-n", "2", passed=6)


def test_each_test_has_a_home_of_its_own(run: Run) -> None:
    run(
        """
def test_one(apothic_runtime, apothic_home):
    assert os.environ["APOTHIC_HOME"] == str(apothic_home)
    apothic_home.mkdir()

def test_two(apothic_runtime):
    assert not os.path.exists(os.environ["APOTHIC_HOME"])
""",
        passed=2,
    )


def test_each_test_has_secrets_of_its_own(run: Run) -> None:
    run(
        """
from apothic import App, Secret, SecretNotFound

@App("secrets").function(secrets=[Secret.from_name("TOKEN")])
def token():
    return os.environ["TOKEN"]

def test_set(apothic_runtime, apothic_secrets):
    apothic_secrets.put("TOKEN", {"TOKEN": "open-sesame"})
    assert token.remote() == "open-sesame"

def test_not_set(apothic_runtime, apothic_secrets):
    assert apothic_secrets.entries() == {}
    with pytest.raises(SecretNotFound):
        token.remote()
""",
        passed=2,
    )


# --- shared state and storage --------------------------------------------------------------------


def test_each_test_has_a_queue_a_dict_and_files_of_its_own(run: Run) -> None:
    source = """
@app.function()
def note(queue, shared):
    queue.put("seen")
    shared["by"] = "a worker"

@app.function()
def write(path):
    with open(path, "w") as file:
        return file.write("hello")

@pytest.mark.parametrize("turn", [1, 2])
def test_state(turn, apothic_queue, apothic_dict):
    assert (len(apothic_queue), len(apothic_dict)) == (0, 0)
    note.remote(apothic_queue, apothic_dict)
    assert (apothic_queue.get(), apothic_dict["by"]) == ("seen", "a worker")

@pytest.mark.parametrize("turn", [1, 2])
def test_files(turn, apothic_volume, apothic_bucket, tmp_path):
    assert apothic_volume.listdir("/") == []
    write.with_options(volumes={"/data": apothic_volume}).remote("/data/a")
    assert [file.path for file in apothic_volume.listdir("/")] == ["a"]
    write.with_options(volumes={"/data": apothic_bucket}).remote("/data/b")
    assert (tmp_path / "bucket" / "b").read_text() == "hello"
"""
    run(source, passed=4)


# --- devices --------------------------------------------------------------------------------------


def test_gpus_are_made_up_for_a_test(run: Run) -> None:
    run(
        """
from apothic import NoMachine

@app.function(gpu="H100")
def devices():
    return os.environ["CUDA_VISIBLE_DEVICES"]

def test_there(apothic_gpus):
    uuids = apothic_gpus("2xH100-80GB")
    assert devices.remote() in uuids

def test_not_there_and_there(apothic_gpus):
    apothic_gpus("1xT4-16GB")
    with pytest.raises(NoMachine, match="1 x T4"):
        devices.remote()
    uuids = apothic_gpus("1xH100-80GB")
    assert devices.remote() in uuids

def test_gone(apothic_gpus):
    apothic_gpus("")
    with pytest.raises(NoMachine, match="apothic_gpus has taken them all"):
        devices.remote()
""",
        passed=3,
    )


def test_what_needs_real_gpus_is_skipped_with_the_reason(run: Run) -> None:
    result = run(
        """
@pytest.mark.apothic_gpu(min=99)
def test_many():
    pass
""",
        "-rs",
        skipped=1,
    )

    result.stdout.fnmatch_lines(["*needs 99 GPU(s), and there are *"])
