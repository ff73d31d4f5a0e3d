"""Every example runs, as a program and by `apothic run`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMAND = str(Path(sys.executable).with_name("apothic"))
WAYS = [pytest.param([sys.executable], id="python"), pytest.param([COMMAND, "run"], id="apothic")]


def run(command: list[str], cwd: Path, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder of its own."""
    ran = subprocess.run(
        command, check=False, cwd=cwd, capture_output=True, text=True, timeout=timeout_s
    )
    assert ran.returncode == 0, ran.stderr
    return ran


@pytest.mark.parametrize("way", WAYS)
def test_hello_greets_from_other_processes(way: list[str], tmp_path: Path) -> None:
    ran = run([*way, str(EXAMPLES / "hello.py")], tmp_path)

    assert ran.stderr == ""
    assert [line.partition(" from process ")[0] for line in ran.stdout.splitlines()] == [
        "Hello, world,",
        "Hello, Ada,",
        "Hello, Grace,",
        "Hello, Barbara,",
    ]


def test_the_census_counts_the_standard_library(tmp_path: Path) -> None:
    ran = run([sys.executable, str(EXAMPLES / "stdlib_census.py")], tmp_path)

    assert "the whole library" in ran.stdout
    assert " of " in ran.stderr
    dots = ET.parse(tmp_path / "stdlib_census.svg").findall(".//{*}circle/{*}title")
    assert any("argparse: " in (dot.text or "") for dot in dots)


@pytest.mark.parametrize("way", WAYS)
def test_another_leader_goes_on_where_the_first_was_killed(way: list[str], tmp_path: Path) -> None:
    ran = run([*way, str(EXAMPLES / "leader_election.py")], tmp_path)
    lines = ran.stdout.splitlines()
    first, second = (line.partition(" leads, in term ") for line in (lines[0], lines[2]))

    assert lines[1] == f"{first[0]}'s term has ended: term_expired"
    assert int(first[2]) < int(second[2])
    assert lines[3] == f"a late write of {first[0]}: fenced"
    assert f"{first[0]}: killed in office (signal 9)" in lines
    assert f"{second[0]}: {second[0]} counted 7" in lines
    assert lines[-1] == "counted to 12"


@pytest.mark.parametrize("way", WAYS)
def test_a_pool_of_workers_loses_nothing(way: list[str], tmp_path: Path) -> None:
    ran = run([*way, str(EXAMPLES / "worker_pool.py")], tmp_path)
    lines = ran.stdout.splitlines()
    checked = [line.rpartition(" has checked ") for line in lines if " has checked " in line]

    assert "one worker was killed (signal 9)" in lines
    assert {name for name, _, _ in checked} < {"Ada", "Bob", "Cy", "Di", "Eve"}
    assert lines[4].startswith("'1000000000100' was tried 3 times: TypeError: ")
    assert lines[5] == "Eve has checked 1"
    assert lines[6] == "101 numbers are checked; 1,000,000,000,000 + [39, 61, 63, 91] are primes"


@pytest.mark.parametrize("way", WAYS)
def test_a_model_remembers_what_it_has_learned(way: list[str], tmp_path: Path) -> None:
    ran = run([*way, str(EXAMPLES / "model.py")], tmp_path)

    assert [line for line in ran.stdout.splitlines() if "loaded" not in line] == [
        "2 words after 'Hello world'",
        "3 words after 'hello Ada'",
        "4 words after 'hello again world'",
        "after a new start: [('hello', 3), ('world', 2)]",
    ]


@pytest.mark.parametrize("way", WAYS)
def test_a_coding_agent_tries_until_the_tests_pass(way: list[str], tmp_path: Path) -> None:
    ran = run([*way, str(EXAMPLES / "coding_agent.py")], tmp_path)
    told = [line for line in ran.stdout.splitlines() if not line.startswith("    ")]

    assert told[0].startswith("isolated by ")
    assert told[1:] == ["attempt 1", "attempt 2", "kept: slugs.py"]
    assert "FAIL: test_marks_are_left_out" in ran.stdout


def test_the_way_into_the_cloud_and_back_is_rehearsed(tmp_path: Path) -> None:
    """With `cloud.py`: real control planes and agents, for two providers that are fakes."""
    ran = run([sys.executable, str(EXAMPLES / "cloud_rehearsal.py")], tmp_path, timeout_s=400)
    lines = ran.stdout.splitlines()

    assert "on the volume: ['first', 'second']" in lines
    assert "GPUs: GPU-fake-RTX 4090-0" in lines
    assert any(line.endswith('says "Hello, Ada!"') for line in lines)
    assert "noting 'first'" in lines
    assert [line for line in lines if "all else that was rented included: about 0." in line]
    assert [line.split()[:3] for line in lines if line.startswith("machines:")] == [
        ["machines:1", "fly", "up"],
        ["machines:3", "vast", "up"],
        ["machines:", "0", "on"],
    ]
    assert [line for line in lines if line.startswith("volume weights: 20 GB on vast's machine ")]
    assert "no machine is left, and no volume that was to go" in ran.stderr
    assert lines[-4:-2] == ["machines: 0 on Fly, 0 on Vast", "volumes: 0 on Vast"]
    assert lines[-1] == "not as the documents say: []"


def test_every_example_has_a_test() -> None:
    services = Path(__file__).parents[1] / "services" / "test_example.py"
    edited = Path(__file__).parent / "dev" / "test_readme.py"
    generated = Path(__file__).with_name("test_generated_examples.py")
    files = (Path(__file__), services, edited, generated)
    tested = "".join(it.read_text("utf-8") for it in files)

    assert [path.name for path in EXAMPLES.glob("*.py") if path.name not in tested] == []
