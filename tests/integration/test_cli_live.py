"""What `apothic run` shows while it runs, in pipes and on a terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.integration.screens import COMMAND, Terminal
from tests.integration.support import descendants, is_alive, wait_until

PROGRAM = """
import sys, time
from pathlib import Path
from apothic import App, progress

app = App("demo")

@app.function
def infer(text: str) -> str:
    print("out of", text)
    print("err of", text, file=sys.stderr)
    return text.upper()

@app.function(max_containers=2)
def prints(number: int) -> int:
    for i in range(number):
        print("line", i)
    return number

@app.function
def gated(gate: str) -> str:
    print("waiting", flush=True)
    while not Path(gate).exists():
        time.sleep(0.01)
    print("gone on")
    return "done"

@app.function(max_containers=2)
def half(gate: str, number: int) -> int:
    while number and not Path(gate).exists():
        time.sleep(0.01)
    return number

@app.function
def bar(gate: str) -> None:
    for done in (10, 20):
        sys.stderr.write(f"\\\\r {done}%")
        sys.stderr.flush()
    while not Path(gate).exists():
        time.sleep(0.01)
    sys.stderr.write("\\\\r100%\\\\n")

@app.function
def fails() -> None:
    print("before it failed")
    raise ValueError("no luck")

@app.function
def opaque() -> object:
    return {1}

@app.function
def watchful(watch: str) -> str:
    return watch

@app.function
def stubborn() -> None:
    Path("begun").touch()
    print("begun", flush=True)
    try:
        time.sleep(60)
    finally:
        print("cleaned up")

@app.local_entrypoint
def main(count: int = 2) -> str:
    print("from here")
    print(sum(prints.map([10] * count)))
    return "back"

@app.local_entrypoint
def halves(gate: str) -> None:
    print("from here")
    print(half.starmap([(gate, 0), (gate, 0), (gate, 1)]))
""".replace("\\\\", "\\")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the program in it."""
    (tmp_path / "app.py").write_text(PROGRAM)
    return tmp_path


def ran(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The command in pipes, and what came of it."""
    return subprocess.run(
        [*COMMAND, *arguments],
        check=False,
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


def documents(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_lines_go_to_stderr_with_their_job_and_the_result_to_stdout(folder: Path) -> None:
    done = ran(folder, "run", "app.py::infer", "hi")

    assert (done.returncode, done.stdout) == (0, "HI\n")
    lines = ["infer j:1 | err of hi", "infer j:1 | out of hi"]
    assert sorted(done.stderr.splitlines()) == lines


def test_lines_come_while_the_job_runs(folder: Path) -> None:
    gate = folder / "gate"
    process = subprocess.Popen(
        [*COMMAND, "run", "app.py::gated", str(gate)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    gate.touch()
    rest = process.communicate(timeout=30)

    assert (first, *rest) == ("gated j:1 | waiting\n", "done\n", "gated j:1 | gone on\n")


def test_no_line_is_lost_or_doubled_however_many_there_are(folder: Path) -> None:
    done = ran(folder, "run", "app.py::prints", "20000")

    assert done.stdout == "20000\n"
    assert done.stderr.splitlines() == [f"prints j:1 | line {i}" for i in range(20000)]


def test_lines_of_what_an_entrypoint_calls_are_shown_too(folder: Path) -> None:
    done = ran(folder, "run", "app.py::main", "--count", "30")

    assert done.stdout == "from here\n300\n"
    lines = [f"prints j:{job} | line {i}" for job in range(1, 31) for i in range(10)]
    assert sorted(done.stderr.splitlines()) == sorted(lines)


def test_lines_stand_before_the_error_that_they_led_to(folder: Path) -> None:
    done = ran(folder, "run", "app.py::fails")

    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "fails j:1 | before it failed"
    assert done.stderr.splitlines()[-2] == "ValueError: no luck"
    assert done.stderr.splitlines()[-1].startswith("jobs:1 failed; run it again")


def test_quiet_leaves_results_and_errors(folder: Path) -> None:
    assert ran(folder, "run", "-q", "app.py::infer", "hi").stderr == ""
    assert ran(folder, "run", "app.py::fails", "-q").stderr.startswith("Traceback")


def test_verbose_tells_what_becomes_of_each_job(folder: Path) -> None:
    told = ran(folder, "run", "app.py::fails", "-v").stderr

    assert re.search(r"fails j:1 queued\nfails j:1 running \d\.\d s\n", told)
    assert re.search(r"\nfails j:1 failed \d\.\d s\nTraceback", told)


def test_an_option_of_ours_behind_the_target_is_the_functions_if_it_has_that_name(
    folder: Path,
) -> None:
    assert ran(folder, "run", "app.py::watchful", "--watch", "me").stdout == "me\n"
    before = ran(folder, "run", "--watch", "app.py::watchful", "--watch", "me").stdout
    assert documents(before)[-1]["event"] == "job.end"


def test_a_file_that_calls_while_it_is_loaded_is_run_in_place_if_that_is_said_first(
    folder: Path,
) -> None:
    early = "import os\nfrom apothic import App\napp = App('early')\n"
    early += "@app.function\ndef pid() -> int:\n    return os.getpid()\n"
    (folder / "early.py").write_text(f"{early}print(pid.remote() == os.getpid())\n")

    assert ran(folder, "run", "--inline", "early.py").stdout.startswith("True\n")


# --- JSON ---------------------------------------------------------------------------------------


def test_json_is_one_document_and_lines_are_events(folder: Path) -> None:
    done = ran(folder, "run", "--json", "app.py::infer", "hi")

    assert documents(done.stdout) == [
        {
            "schema": "apothic.run.v1",
            "job_id": "jobs:1",
            "status": "succeeded",
            "result": "HI",
            "error": None,
        }
    ]
    assert [line["event"] for line in documents(done.stderr)] == ["job.log", "job.log"]


@pytest.mark.parametrize(("arguments", "env"), [(["--json"], {}), ([], {"APOTHIC_OUTPUT": "json"})])
def test_a_failure_is_a_document_too_and_an_error_on_stderr(
    folder: Path, arguments: list[str], env: dict[str, str]
) -> None:
    done = ran(folder, "run", "app.py::fails", *arguments, **env)
    (document,) = documents(done.stdout)
    error = documents(done.stderr)[-1]["error"]

    assert done.returncode == 1
    assert (document["status"], document["result"], document["error"]) == ("failed", None, error)
    assert isinstance(error, dict)
    assert (error["code"], error["type"], error["message"]) == (
        "user_error",
        "ValueError",
        "no luck",
    )


def test_what_an_entrypoint_gives_back_is_its_result_and_what_it_prints_is_not(
    folder: Path,
) -> None:
    done = ran(folder, "--json", "run", "app.py::main")

    (document,) = documents(done.stdout)
    assert (document["job_id"], document["result"]) == (None, "back")
    assert done.stderr.startswith("from here\n")


def test_a_result_that_json_cannot_say_is_marked(folder: Path) -> None:
    (document,) = documents(ran(folder, "run", "app.py::opaque", "--json").stdout)

    assert (document["result"], document["result_repr"]) == (None, "{1}")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (["run", "nowhere.py", "--json"], 4, "not_found"),
        (["run", "--json", "nowhere.py"], 4, "not_found"),
        (["run", "app.py::infer", "--json"], 2, "usage"),
        (["run", "app.py::infer", "--nope", "--json"], 2, "usage"),
        (["run", "--json"], 2, "usage"),
        (["walk", "--json"], 2, "usage"),
    ],
)
def test_every_error_is_json_where_it_is_asked_for(
    folder: Path, arguments: list[str], exit_code: int, code: str
) -> None:
    done = ran(folder, *arguments)
    (document,) = documents(done.stderr)

    assert (done.returncode, done.stdout) == (exit_code, "")
    error = document["error"]
    assert isinstance(error, dict)
    assert error["code"] == code


def test_watching_in_a_pipe_gives_the_events_and_the_exit_code_of_the_job(folder: Path) -> None:
    done = ran(folder, "run", "app.py::infer", "hi", "--watch")
    events = documents(done.stdout)

    assert (done.returncode, done.stderr) == (0, "")
    names = [event["event"] for event in events]
    assert names[:2] + names[-2:] == ["job.queued", "job.running", "job.result", "job.end"]
    assert set(names[2:-2]) == {"job.log"}
    assert {event["schema"] for event in events} == {"apothic.event.v1"}
    assert events[-2]["data"]["value"] == "HI"  # type: ignore[index]
    failed = ran(folder, "run", "app.py::fails", "--watch")
    assert failed.returncode == 1
    assert "\nValueError: no luck\n" in failed.stderr


def test_a_watch_may_begin_with_a_snapshot(folder: Path) -> None:
    done = ran(folder, "run", "app.py::infer", "hi", "--watch", "--snapshot")

    assert documents(done.stdout)[0]["event"] == "job.snapshot"


# --- readers who go away ------------------------------------------------------------------------


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("target", ["prints", "main"])
def test_a_reader_who_has_gone_does_not_break_the_run(
    folder: Path, stream: str, target: str
) -> None:
    read, write = os.pipe()
    os.close(read)
    other = "stderr" if stream == "stdout" else "stdout"
    numbers = ["1000"] if target == "prints" else []
    given = {stream: write, other: subprocess.PIPE}
    process = subprocess.Popen(
        [*COMMAND, "run", f"app.py::{target}", *numbers],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": ""},  # else its own print() fails, as in any program
        text=True,
        **given,  # type: ignore[call-overload]
    )
    os.close(write)
    out, err = process.communicate(timeout=60)

    if stream == "stderr":
        assert (process.returncode, out) == (
            0,
            "1000\n" if target == "prints" else "from here\n20\n",
        )
    elif target == "prints":
        assert process.returncode == 0
        assert err.splitlines() == [f"prints j:1 | line {i}" for i in range(1000)]
    else:
        assert process.returncode == 0
        assert "BrokenPipeError" not in err


def test_watching_goes_on_to_the_exit_code_when_nobody_reads_the_events(folder: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "run", "app.py::prints", "3000", "--watch"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    _, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (0, "")


# --- a terminal ---------------------------------------------------------------------------------


def test_a_map_has_a_bar_while_it_runs_and_a_line_afterwards(folder: Path) -> None:
    gate = folder / "gate"
    terminal = Terminal("run", "app.py::halves", str(gate), folder=folder)
    terminal.wait_for("2/3")
    gate.touch()

    assert terminal.end() == 0
    assert re.search(r"half.*━.*2/3", terminal.raw)
    first, *both, end = terminal.page()
    assert (first, end) == ("from here", "")
    assert "[0, 0, 1]" in both
    assert re.search(r"half: 3 calls in \d+\.\d s", " ".join(both))


def test_a_progress_bar_of_the_users_is_seen_as_it_moves(folder: Path) -> None:
    gate = folder / "gate"
    terminal = Terminal("run", "app.py::bar", str(gate), folder=folder)
    terminal.wait_for(" 20%")
    gate.touch()

    assert terminal.end() == 0
    assert terminal.page() == ["bar j:1 | 100%", ""]


def test_the_life_of_a_job_is_one_line_on_a_terminal(folder: Path) -> None:
    terminal = Terminal("run", "app.py::infer", "hi", "--watch", folder=folder)

    assert terminal.end() == 0
    *lines, life, result, end = terminal.page()
    assert sorted(lines) == ["infer j:1 | err of hi", "infer j:1 | out of hi"]
    assert re.fullmatch(r"jobs:1 queued > running \d+\.\d s > done \d+\.\d s", life)
    assert (result, end) == ("HI", "")


@pytest.mark.parametrize(
    ("arguments", "env"),
    [(["--plain"], {}), ([], {"CI": "true"}), ([], {"TERM": "dumb"})],
)
def test_a_terminal_gets_plain_lines_where_that_is_wanted(
    folder: Path, arguments: list[str], env: dict[str, str]
) -> None:
    terminal = Terminal("run", "app.py::infer", "hi", *arguments, folder=folder, env=env)

    assert terminal.end() == 0
    assert "\x1b" not in terminal.raw
    assert terminal.page()[-2:] == ["HI", ""]


@pytest.mark.parametrize(
    ("arguments", "env", "is_colored"),
    [
        ([], {}, True),
        ([], {"NO_COLOR": "1"}, False),
        (["--color", "never"], {}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
    ],
)
def test_a_line_is_coloured_unless_somebody_minds(
    folder: Path, arguments: list[str], env: dict[str, str], *, is_colored: bool
) -> None:
    terminal = Terminal("run", "app.py::infer", "hi", *arguments, folder=folder, env=env)

    assert terminal.end() == 0
    assert ("\x1b[36minfer j:1 |\x1b[0m" in terminal.raw) is is_colored


def test_the_result_of_a_run_on_a_terminal_can_go_to_a_pipe(folder: Path) -> None:
    read, write = os.pipe()
    terminal = Terminal("run", "app.py::infer", "hi", folder=folder, stdout=write)
    os.close(write)

    assert terminal.end() == 0
    assert os.read(read, 100) == b"HI\n"
    assert "HI" not in terminal.raw
    os.close(read)


@pytest.mark.parametrize("arguments", [[], ["--watch"], ["-q"], ["--json"]])
def test_ctrl_c_ends_with_130_and_with_what_the_job_said_last(
    folder: Path, arguments: list[str]
) -> None:
    terminal = Terminal("run", "app.py::stubborn", *arguments, folder=folder)
    if arguments == ["-q"]:
        wait_until((folder / "begun").exists)
    else:
        terminal.wait_for("begun")
    below = descendants(terminal.process.pid)
    terminal.press(b"\x03")

    assert terminal.end() == 130
    assert "\x1b[?25l" not in terminal.raw, "the cursor is never hidden"
    if not arguments:
        assert terminal.page()[-3:] == ["^Cstubborn j:1 | cleaned up", "interrupted", ""]
    wait_until(lambda: not any(map(is_alive, below)), "for all to end")


def test_ctrl_c_ends_a_run_whose_output_nobody_reads(folder: Path) -> None:
    read, write = os.pipe()
    process = subprocess.Popen(
        [*COMMAND, "run", "app.py::prints", "100000"], cwd=folder, stderr=write,
        stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    os.close(write)
    os.read(read, 1)
    below = descendants(process.pid)
    os.killpg(process.pid, signal.SIGINT)

    assert process.wait(30) in (130, -signal.SIGINT)
    os.close(read)
    wait_until(lambda: not any(map(is_alive, below)), "for all to end")


# --- what it costs ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["--help"], ["run", "--help"], ["run", "app.py::infer", "x"]])
def test_rich_is_not_imported_without_a_terminal(folder: Path, command: list[str]) -> None:
    program = (
        "import sys, atexit; atexit.register(lambda: print('rich' in sys.modules)); "
        "from apothic.cli import main; sys.exit(main())"
    )
    done = subprocess.run(
        [COMMAND[0], "-c", program, *command],
        check=True,
        cwd=folder,
        capture_output=True,
        text=True,
    )

    assert done.stdout.splitlines()[-1] == "False"
