"""Ctrl-C before the first line of the user's own: while a program imports us, or we import us."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.integration.interrupting import Interrupted

STOP_AT = """
import sys, time
class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            print("ready", flush=True)
            time.sleep(0.3)
sys.meta_path.insert(0, Stop())
"""

SCRIPT = """
from apothic import App
app = App("interrupted")
@app.function()
def nap(): time.sleep(60)
if __name__ == "__main__":
    nap.remote()
"""

RUN = """
import runpy
sys.argv[1:] = ["run", {task!r}]
runpy.run_module("apothic.cli", run_name="__main__")
"""

SLOW_TO_DECLARE = """
import time
from apothic import App
app = App("interrupted")
class Slow:
    def __repr__(self):
        print("ready", flush=True)
        time.sleep(0.3)
        return "slow"
@app.function()
def nap(default=Slow()): pass
"""

OF_A_SCRIPT = [
    "apothic",
    "apothic.apps",
    "apothic.functions",
    "apothic._drive",
    "apothic_backends.registry",
    "apothic_emulator.local",
    "apothic_emulator.agent.zygote",
    "apothic_emulator.host.backend",
    "apothic_emulator.core.plane",
]
OF_THE_COMMAND = [
    "click",
    "apothic.cli.program",
    "apothic.cli.run",
    "apothic.cli.parameters",
    "apothic.functions",
    "apothic._calls",
    "apothic_emulator.host.backend",
    "task",
]


def interrupt_at(tmp_path: Path, module: str, body: str) -> Interrupted:
    program = Interrupted(tmp_path / "script.py", STOP_AT.format(module=module) + body)
    program.wait_ready()
    program.interrupt()
    program.check(f"at the import of {module}")
    return program


def told(program: Interrupted) -> list[str]:
    """What it said, without the line that counts what was cut short."""
    lines = program.stderr.splitlines()
    return [line for line in lines if line and not line.startswith("apothic:")]


@pytest.mark.parametrize("module", OF_A_SCRIPT)
def test_a_program_that_imports_ends_by_the_signal_as_any_other(
    tmp_path: Path, module: str
) -> None:
    program = interrupt_at(tmp_path, module, SCRIPT)

    assert program.process.returncode == -signal.SIGINT, program.stderr
    assert told(program)[-1] == "KeyboardInterrupt"


@pytest.mark.parametrize("module", OF_THE_COMMAND)
def test_the_command_that_imports_says_so_and_exits_with_130(tmp_path: Path, module: str) -> None:
    task = tmp_path / "task.py"
    task.write_text("import time" + SCRIPT)

    program = interrupt_at(tmp_path, module, RUN.format(task=str(task)))

    assert program.process.returncode == 130, program.stderr
    assert told(program) == ["interrupted"]


def test_the_command_that_reads_its_arguments_says_so_and_exits_with_130(tmp_path: Path) -> None:
    task = tmp_path / "task.py"
    task.write_text(SLOW_TO_DECLARE)

    program = interrupt_at(tmp_path, "none", RUN.format(task=str(task)))

    assert program.process.returncode == 130, program.stderr
    assert told(program) == ["interrupted"]
