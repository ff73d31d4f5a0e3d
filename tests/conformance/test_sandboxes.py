"""Sandboxes: their programs with input, output and ends; how they are found; and how they end."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest

from apothic import (
    App,
    InstanceConflict,
    InvalidOption,
    NotFound,
    ProgramNotFound,
    Sandbox,
    SandboxExpired,
    SandboxGone,
    WaitTimeout,
    method,
)
from tests.conformance.client import Client

app = App("sandboxes")
workspace = app.sandbox("plain", timeout_s=300)

pytestmark = pytest.mark.needs("processes")


@pytest.fixture
def box(client: Client) -> Iterator[Sandbox]:
    """A sandbox."""
    with workspace.create() as box:
        yield box


# --- programs -------------------------------------------------------------------------------------


def test_a_program_gives_its_output_and_its_return_code(box: Sandbox) -> None:
    process = box.exec("sh", "-c", "echo out; echo err >&2; exit 3")
    assert process.wait() == 3
    assert (process.stdout.read(), process.stderr.read()) == ("out\n", "err\n")
    assert (process.returncode, process.stdout.read()) == (3, "")


def test_lines_come_as_they_are_written(box: Sandbox) -> None:
    process = box.exec("sh", "-c", "echo one; read line; echo $line; printf end")
    lines = iter(process.stdout)
    assert next(lines) == "one\n"
    process.stdin.write("two\n")
    assert [*lines] == ["two\n", "end"]
    assert process.wait() == 0


def test_input_is_read_to_its_end(box: Sandbox) -> None:
    process = box.exec("wc", "-c")
    process.stdin.write(b"x" * 3_000_000)
    process.stdin.close()
    process.stdin.close()
    assert process.stdout.read().strip() == "3000000"
    with pytest.raises(ValueError, match="closed"):
        process.stdin.write("more")


def test_bytes_that_are_no_text_come_as_they_are(box: Sandbox) -> None:
    script = "printf '\\377\\n\\001'"
    assert [*box.exec("sh", "-c", script, text=False).stdout] == [b"\xff\n", b"\x01"]
    assert box.exec("sh", "-c", script).stdout.read() == "\ufffd\n\x01"


def test_characters_that_come_in_pieces_are_put_together(box: Sandbox) -> None:
    process = box.exec("sh", "-c", "printf 'a\\303'; read x; printf '\\251\\n'")
    assert process.poll() is None
    process.stdin.write("\n")
    assert process.stdout.read() == "aé\n"


def test_output_can_be_read_as_it_comes(box: Sandbox) -> None:
    process = box.exec("sh", "-c", "printf 'no end'; read line; printf more")
    assert process.stdout.read_some() == "no end"
    process.stdin.write("\n")
    assert [process.stdout.read_some(), process.stdout.read_some()] == ["more", ""]


def test_much_output_is_read_in_full_by_who_reads(box: Sandbox) -> None:
    process = box.exec("head", "-c", "40000000", "/dev/zero", text=False)
    data = process.stdout.read()
    assert (len(data), process.stdout.lost_bytes, process.wait()) == (40_000_000, 0, 0)


def test_what_takes_too_long_is_killed_and_its_output_is_kept(box: Sandbox) -> None:
    process = box.exec("sh", "-c", "echo begun; sleep 1000", timeout_s=0.5)
    assert (process.wait(), process.stdout.read()) == (-1, "begun\n")


def test_waiting_may_have_an_end(box: Sandbox) -> None:
    process = box.exec("sleep", "1000")
    with pytest.raises(WaitTimeout, match="runs on"):
        process.wait(timeout_s=0.1)
    process.kill()
    assert process.wait() == -9


def test_a_signal_reaches_a_program(box: Sandbox) -> None:
    process = box.exec("sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done")
    next(process.stdout)
    process.kill(15)
    assert process.wait() == 7


def test_a_program_that_leaves_a_child_has_ended(box: Sandbox) -> None:
    process = box.exec("sh", "-c", "sleep 1000 & echo done")
    assert (process.wait(timeout_s=30), process.stdout.read()) == (0, "done\n")


def test_folder_and_variables_are_as_was_said(box: Sandbox) -> None:
    box.exec("mkdir", "sub").wait()
    process = box.exec(
        "sh", "-c", "pwd; echo $COLOUR", workdir="/workspace/sub", env={"COLOUR": "red"}
    )
    assert process.stdout.read() == "/workspace/sub\nred\n"


def test_what_one_program_writes_another_reads(box: Sandbox) -> None:
    assert box.exec("sh", "-c", "echo kept > file").wait() == 0
    assert box.exec("cat", "/workspace/file").stdout.read() == "kept\n"


def test_errors_may_be_part_of_the_output(box: Sandbox) -> None:
    process = box.exec("sh", "-c", "echo a; echo b >&2; echo c", merge_stderr=True)
    assert (process.stdout.read(), process.stderr.read()) == ("a\nb\nc\n", "")


def test_a_terminal_has_a_size_that_can_change(box: Sandbox) -> None:
    process = box.exec("sh", "-c", "stty size; read line; stty size", pty=(30, 100))
    lines = iter(process.stdout)
    assert next(lines) == "30 100\r\n"
    process.resize(40, 120)
    process.stdin.write("\n")
    assert "40 120\r\n" in [*lines]


@pytest.mark.parametrize(
    "argv", [(), (1,), ("echo", b"x"), ("a\0b",), ("echo", "x" * 70_000)], ids=str
)
def test_arguments_that_cannot_be_meant_are_refused(box: Sandbox, argv: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidOption):
        box.exec(*argv)


def test_a_program_that_is_not_there_is_told(box: Sandbox) -> None:
    with pytest.raises(ProgramNotFound, match="no-such-program"):
        box.exec("no-such-program")


def test_a_process_is_found_again_by_its_number(box: Sandbox) -> None:
    process = box.exec("sh", "-c", "echo early; read line; echo late")
    next(process.stdout)
    again = box.process(process.exec_id)
    again.stdin.write("\n")
    assert (again.stdout.read(), again.wait()) == ("early\nlate\n", 0)
    assert pickle.loads(pickle.dumps(process)).stdout.read() == "early\nlate\n"
    with pytest.raises(NotFound, match="no process 999"):
        box.process(999).wait()


async def test_all_of_it_can_be_awaited(client: Client) -> None:
    box = await workspace.aio.create()
    process = await box.exec.aio("sh", "-c", "read line; echo $line; exit 4")
    await process.stdin.write.aio("hello\n")
    assert [line async for line in process.stdout] == ["hello\n"]
    assert await process.wait.aio() == 4
    await box.aio.terminate()


def test_many_programs_run_at_once(box: Sandbox) -> None:
    processes = [box.exec("cat") for _ in range(20)]
    readers = [threading.Thread(target=process.stdout.read) for process in processes]
    for reader in readers:
        reader.start()
    for process in processes:
        process.stdin.close()
    for reader in readers:
        reader.join()
    assert [process.wait() for process in processes] == [0] * 20


# --- sessions -------------------------------------------------------------------------------------


def test_a_shell_keeps_its_folder_its_variables_and_its_functions(box: Sandbox) -> None:
    shell = box.session()
    assert shell.run("mkdir src; cd src; export A=1; B=2; twice() { echo $1 $1; }").returncode == 0
    result = box.session("main").run("pwd; echo $A $B; twice x; env | grep ^A=")
    assert (result.stdout, result.stderr) == ("/workspace/src\n1 2\nx x\nA=1\n", "")


def test_a_command_has_a_return_code_and_outputs_of_its_own(box: Sandbox) -> None:
    shell = box.session()
    result = shell.run("printf out; printf err >&2; (exit 7)")
    assert (result.returncode, result.stdout, result.stderr) == (7, "out", "err")
    result = shell.run("cat; if")
    assert (result.stdout, "syntax error" in result.stderr) == ("", True)
    assert shell.run("echo 'a b' \"c\nd\"").stdout == "a b c\nd\n"


@pytest.mark.parametrize(
    "command", ["sleep 1000", "while :; do sleep 0.01; done", "f() { sleep 1000; }; f; sleep 1000"]
)
def test_a_command_that_takes_too_long_is_interrupted_and_its_session_lives(
    box: Sandbox, command: str
) -> None:
    shell = box.session()
    shell.run("A=1")
    result = shell.run(f"echo begun; {command}", timeout_s=0.5)
    assert (result.returncode, result.stdout, result.is_session_over) == (-1, "begun\n", False)
    assert shell.run("echo $A").stdout == "1\n"


def test_a_command_that_cannot_be_interrupted_is_killed_with_its_session(box: Sandbox) -> None:
    shell = box.session()
    shell.run("A=1")
    result = shell.run("trap '' INT; sleep 1000", timeout_s=0.2)
    assert (result.returncode, result.is_session_over) == (-1, True)
    assert shell.run("echo [$A]").stdout == "[]\n"


def test_a_shell_that_ends_is_followed_by_another(box: Sandbox) -> None:
    shell = box.session()
    result = shell.run("A=1; echo last; exit 5")
    assert (result.returncode, result.stdout, result.is_session_over) == (5, "last\n", True)
    assert shell.run("echo [$A]").stdout == "[]\n"


def test_sessions_are_apart(box: Sandbox) -> None:
    box.session("a").run("X=1")
    assert box.session("b").run("echo [$X]").stdout == "[]\n"
    box.session("a").close()
    assert box.session("a").run("echo [$X]").stdout == "[]\n"


def test_commands_of_a_session_run_one_after_the_other(box: Sandbox) -> None:
    def add(_: int) -> int:
        return box.session().run("N=$((${N:-0} + 1)); echo $N").returncode

    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(add, range(16))] == [0] * 16
    assert box.session().run("echo $N").stdout == "16\n"


def test_python_keeps_its_names_and_prints_the_last_value(box: Sandbox) -> None:
    python = box.session("py", kind="python")
    assert python.run("import math\nx = 20\ndef f(n):\n    return n + 1").returncode == 0
    assert python.run("print('hé')\nf(x)").stdout == "hé\n21\n"
    result = python.run("1 / 0")
    assert (result.returncode, "ZeroDivisionError" in result.stderr) == (1, True)
    assert python.run("while True: pass", timeout_s=0.5).returncode == -1
    assert python.run("x").stdout == "20\n"
    with pytest.raises(InvalidOption, match="python session"):
        box.session("py").run("true")


# --- being found ----------------------------------------------------------------------------------


def test_a_sandbox_is_found_by_its_id_and_by_its_name(client: Client) -> None:
    with workspace.create(name="found") as box:
        box.exec("touch", "here").wait()
        for wanted in (box.sandbox_id, "found"):
            same = workspace.attach(wanted)
            assert (same.sandbox_id, same.name) == (box.sandbox_id, "found")
            assert same.exec("ls").stdout.read() == "here\n"


def test_a_handle_that_has_travelled_means_the_same_sandbox(box: Sandbox) -> None:
    box.exec("touch", "here").wait()
    assert pickle.loads(pickle.dumps(box)).exec("ls").stdout.read() == "here\n"


@app.function
def list_files(box: Sandbox) -> str:
    """Use a sandbox from a worker."""
    return box.exec("ls").stdout.read()


def test_a_sandbox_can_be_used_in_a_worker(box: Sandbox) -> None:
    box.exec("touch", "here").wait()
    assert list_files.remote(box) == "here\n"


def test_a_name_is_taken_while_its_sandbox_lives(client: Client) -> None:
    with workspace.create(name="taken"), pytest.raises(InstanceConflict, match="taken"):
        workspace.create(name="taken")
    workspace.create(name="taken").terminate()


def test_those_that_live_are_listed_by_their_tags(client: Client) -> None:
    with workspace.create(tags={"run": "1"}) as one, workspace.create(tags={"run": "2"}) as two:
        assert {it.sandbox_id for it in workspace.list()} == {one.sandbox_id, two.sandbox_id}
        [found] = workspace.list(tags={"run": "2"})
        assert (found.sandbox_id, found.tags) == (two.sandbox_id, {"run": "2"})


def test_what_nobody_has_made_is_not_found(box: Sandbox) -> None:
    forged = f"{box.sandbox_id[:-4]}0000"
    for wanted in ("nobody", "sb-99999-00", "sb-x-y", "sb-", forged):
        with pytest.raises(SandboxGone):
            workspace.attach(wanted)


def test_an_object_of_a_class_is_no_sandbox(client: Client) -> None:
    Plain.named("sandbox").call.remote()
    [seen] = Plain.instances()
    with pytest.raises(SandboxGone):
        workspace.attach(f"sb-{seen.instance_id.partition(':')[2]}-{seen.key}")


@app.cls
class Plain:
    """An object of a class."""

    @method()
    def call(self) -> None: ...


# --- ends -----------------------------------------------------------------------------------------


def test_one_that_was_terminated_is_gone_for_all_who_hold_it(client: Client) -> None:
    box = workspace.create(name="ending")
    process = box.exec("sleep", "1000")
    same = workspace.attach("ending")
    box.terminate()
    for call in (same.terminate, process.wait, lambda: same.exec("true")):
        with pytest.raises(SandboxGone, match=box.sandbox_id):
            call()
    assert workspace.list() == []


def test_a_wait_for_a_program_ends_with_its_sandbox(box: Sandbox) -> None:
    process = box.exec("sleep", "1000")
    told: list[BaseException] = []

    def wait() -> None:
        try:
            process.wait()
        except SandboxGone as gone:
            told.append(gone)

    waiter = threading.Thread(target=wait)
    waiter.start()
    box.terminate()
    waiter.join(30)
    assert len(told) == 1


@pytest.mark.needs("haste")
def test_one_whose_time_is_over_has_expired(client: Client) -> None:
    box = app.sandbox("short", timeout_s=1).create(name="short")
    process = box.exec("sleep", "1000")
    with pytest.raises(SandboxExpired, match="1 s are over"):
        process.wait()
    with pytest.raises(SandboxExpired):
        box.exec("true")
    app.sandbox("short").create(name="short").terminate()


def test_one_that_nobody_calls_has_expired(client: Client) -> None:
    box = app.sandbox("quiet", idle_timeout_s=0.2).create()
    while app.sandbox("quiet").list():
        pass
    with pytest.raises(SandboxExpired, match="idle"):
        box.exec("true")


@pytest.mark.needs("disk")
def test_its_files_go_with_it(client: Client) -> None:
    box = workspace.create()
    box.exec("touch", box.sandbox_id).wait()
    pattern = f"apothic-sandboxes-*/*/workspace/{box.sandbox_id}"
    assert [*Path(gettempdir()).glob(pattern)]
    box.terminate()
    assert [*Path(gettempdir()).glob(pattern)] == []


def test_its_isolation_is_told(box: Sandbox) -> None:
    isolation = box.isolation()
    assert isolation.level in ("namespaces", "limits")
    assert workspace.attach(box.sandbox_id).isolation() == isolation
    assert pickle.loads(pickle.dumps(box)).isolation() == isolation
