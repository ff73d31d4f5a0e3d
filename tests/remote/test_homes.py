"""The same program in both homes; and the command line, against `apothic serve`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.served import Served, served

COMMAND = str(Path(sys.executable).with_name("apothic"))

PROGRAM = """
from apothic import App, Dict, Queue

app = App("homes")

@app.function()
def words(text: str) -> int:
    print("counting")
    Queue.from_name("seen").put(text)
    return len(text.split())

@app.function()
def letters(n: int):
    yield from "abc"[:n]

if __name__ == "__main__":
    Queue.from_name("seen", create_if_missing=True).clear()
    print(words.remote("to be or not"), words.map(["a", "b c"]), *letters.remote_gen(2))
    found = Dict.from_name("found", create_if_missing=True)
    found["job"] = words.spawn("one more").wait()
    print(found["job"], Queue.from_name("seen").get())
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.fixture
def there(server: Served, tmp_path: Path) -> dict[str, str]:
    """What is set so that a program runs on the server."""
    url = f"http://{server.own_host}"
    return {
        "APOTHIC_BACKEND": url,
        "APOTHIC_TEST_BACKEND": url,
        "APOTHIC_API_KEY": server.token,
        "APOTHIC_HOME": str(tmp_path / "home"),
    }


def run(
    *command: str, cwd: Path, env: dict[str, str], stdin: str = "", code: int = 0
) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **env},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran


def test_the_same_program_runs_in_both_homes(there: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    home = {"APOTHIC_HOME": there["APOTHIC_HOME"]}

    here, elsewhere = (
        run(sys.executable, "program.py", cwd=tmp_path, env=env) for env in (home, there)
    )

    assert here.stdout == "4 [1, 2] a b\n2 to be or not\n"
    assert elsewhere.stdout == here.stdout


def test_a_job_outlives_its_program_and_is_followed_from_the_command_line(
    there: dict[str, str], tmp_path: Path
) -> None:
    submit = (
        "import apothic\n"
        "app = apothic.App('cli')\n"
        "@app.function()\n"
        "def double(n):\n"
        "    print('doubling')\n"
        "    return 2 * n\n"
        "print(double.spawn(4).job_id)\n"
    )
    job_id = run(sys.executable, "-c", submit, cwd=tmp_path, env=there).stdout.strip()

    ran = run(COMMAND, "job", "watch", job_id, "--snapshot", "--json", cwd=tmp_path, env=there)

    events = [json.loads(line) for line in ran.stdout.splitlines()]
    assert events[0]["event"] == "job.snapshot"
    assert [event["event"] for event in events[-2:]] == ["job.result", "job.end"]
    assert events[-1]["data"]["job_id"] == job_id
    logs = run(COMMAND, "job", "logs", job_id, cwd=tmp_path, env=there)
    assert logs.stdout == "doubling\n"


def test_a_key_is_kept_for_its_server_and_used(
    server: Served, there: dict[str, str], tmp_path: Path
) -> None:
    env = {"APOTHIC_HOME": there["APOTHIC_HOME"], "APOTHIC_TEST_BACKEND": "remote"}
    url = there["APOTHIC_BACKEND"]

    kept = run(
        COMMAND, "auth", "login", url, "-", "--name", "mine", cwd=tmp_path, env=env,
        stdin=f"{server.token}\n",
    )  # fmt: skip
    listed = run(COMMAND, "auth", "list", cwd=tmp_path, env=env)
    (tmp_path / "program.py").write_text(PROGRAM)
    env["APOTHIC_BACKEND"] = "remote"
    ran = run(sys.executable, "program.py", cwd=tmp_path, env=env)
    run(COMMAND, "auth", "logout", "mine", cwd=tmp_path, env=env)
    after = run(sys.executable, "program.py", cwd=tmp_path, env=env, code=1)

    assert kept.stderr == f"kept a key for {url} as mine (in use)\n"
    assert f"* mine  {url}\n" in listed.stdout
    assert server.token not in kept.stdout + kept.stderr + listed.stdout
    assert ran.stdout.startswith("4 [1, 2] a b\n")
    assert "apothic auth login" in after.stderr


def test_a_key_that_does_not_hold_is_not_kept(there: dict[str, str], tmp_path: Path) -> None:
    env = {"APOTHIC_HOME": there["APOTHIC_HOME"]}
    login = (COMMAND, "auth", "login", there["APOTHIC_BACKEND"])

    wrong = run(*login, "-", cwd=tmp_path, env=env, stdin="apk_0_wrong\n", code=3)
    piped = run(*login, cwd=tmp_path, env=env, stdin="apk_0_wrong\n", code=3)
    told = run(*login, "apk_0_told", cwd=tmp_path, env=env, code=2)

    assert piped.stderr == wrong.stderr
    assert "does not take the API key" in wrong.stderr
    assert "not given on the command line" in told.stderr
    assert not (Path(there["APOTHIC_HOME"]) / "profiles.json").exists()


def test_a_key_that_may_only_look_changes_nothing(
    server: Served, there: dict[str, str], tmp_path: Path
) -> None:
    there["APOTHIC_API_KEY"] = server.key("read")
    (tmp_path / "program.py").write_text(PROGRAM)

    ran = run(sys.executable, "program.py", cwd=tmp_path, env=there, code=1)

    assert "NotAllowed: a key of the scope `read` changes nothing" in ran.stderr


MODULES = {
    "shapes/__init__.py": "",
    "shapes/numbers.py": "PI = 3\n",
    "shapes/area.py": """
import os
from apothic import App, Secret
from shapes.numbers import PI

app = App("shapes")

@app.function(secrets=[Secret.from_dict({"UNIT": "m2"})])
def area(radius: int) -> str:
    with open("shapes/label.txt") as file:
        return f"{file.read()}{PI * radius**2} {os.environ['UNIT']}"
""",
    "shapes/label.txt": "area: ",
    "program.py": """
from shapes.area import area

if __name__ == "__main__":
    print(area.remote(2))
""",
}


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """A project of several files."""
    for name, text in MODULES.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "project"


def test_the_files_of_a_program_are_shipped_with_its_calls(
    there: dict[str, str], modules: Path
) -> None:
    ran = run(sys.executable, "program.py", cwd=modules, env=there)

    assert ran.stdout == "area: 12 m2\n"


def test_a_machine_that_joins_fetches_them(tmp_path: Path, modules: Path) -> None:
    for folder in ("server", "machine"):
        (tmp_path / folder).mkdir()
    with served(tmp_path / "server", "--no-agent") as server:
        url = f"http://{server.own_host}"
        machine = subprocess.Popen(
            [COMMAND, "agent", "--url", url],
            cwd=tmp_path / "machine",
            env={
                **os.environ,
                "APOTHIC_HOME": str(tmp_path / "machine"),
                "APOTHIC_AGENT_TOKEN": server.key("agent"),
            },
        )
        env = {
            "APOTHIC_BACKEND": url,
            "APOTHIC_TEST_BACKEND": url,
            "APOTHIC_API_KEY": server.token,
            "APOTHIC_HOME": str(tmp_path / "home"),
        }
        try:
            ran = run(sys.executable, "program.py", cwd=modules, env=env)
        finally:
            machine.terminate()
            assert machine.wait(30) == 0
        assert ran.stdout == "area: 12 m2\n"
        assert [path.name for path in (tmp_path / "machine" / "agents" / "archives").iterdir()]


DEPLOYED = """
from apothic import App

app = App("deployed")

@app.function()
def double(n: int) -> int:
    return 2 * n

if __name__ == "__main__":
    print(app.deploy())
"""

CALLER = """
import sys
from apothic import ControlPlaneClient, RemoteFunction

url, key = sys.argv[1:]
double = RemoteFunction.from_name("deployed", "double", client=ControlPlaneClient(url, key))
print(double.remote(4), double.map([1, 2]), double.spawn(5).wait())
"""


def test_a_function_is_called_by_name_on_the_control_plane_that_is_named(
    server: Served, there: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "deployed.py").write_text(DEPLOYED)
    (tmp_path / "caller.py").write_text(CALLER)
    run(sys.executable, "deployed.py", cwd=tmp_path, env=there)

    url = there["APOTHIC_BACKEND"]
    ran = run(sys.executable, "caller.py", url, server.token, cwd=tmp_path, env={})

    assert ran.stdout == "8 [2, 4] 10\n"


def test_a_deployed_function_is_run_by_name_from_the_command_line(
    there: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "deployed.py").write_text(DEPLOYED)
    run(sys.executable, "deployed.py", cwd=tmp_path, env=there)
    payload = ("--app-name", "deployed", "--payload", '{"args": [4]}')

    ran = run(COMMAND, "run", "double", *payload, "--watch", cwd=tmp_path, env=there)

    events = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [event["event"] for event in events][-2:] == ["job.result", "job.end"]
    assert events[-2]["data"]["value"] == 8
