"""Executors in containers, on a real Docker engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apothic_emulator.agent.containers import hosts
from apothic_emulator.agent.containers.plan import EXECUTOR, HOST
from tests.containers.conftest import Ran, until
from tests.containers.image import NAME

pytestmark = pytest.mark.docker


def executors(client: Any) -> list[Any]:
    return list(client.containers(filters={"label": EXECUTOR}))


# --- what a function sees ------------------------------------------------------------------------


def test_a_function_runs_in_a_container(ran: Callable[..., Ran]) -> None:
    program = """
        @app.function()
        def where():
            return os.path.exists("/.dockerenv"), os.getppid()

        if __name__ == "__main__":
            print(where.remote())
    """

    assert ran(program).end() == "(True, 1)"


def test_a_function_sees_its_project_at_the_same_path_and_cannot_write_to_it(
    ran: Callable[..., Ran], tmp_path: Path
) -> None:
    (tmp_path / "beside.py").write_text("WORD = 'found'\n")
    (tmp_path / "data.txt").write_text("data")
    program = """
        @app.function()
        def look():
            import beside
            try:
                open("made", "w")
            except OSError as error:
                return beside.WORD, os.getcwd(), open("data.txt").read(), error.errno

        if __name__ == "__main__":
            print(look.remote())
    """

    assert ran(program).end() == str(("found", str(tmp_path), "data", 30))


def test_a_variable_with_a_newline_arrives_and_is_in_no_argument_and_no_label(
    ran: Callable[..., Ran], client: Any
) -> None:
    program = """
        @app.function()
        def read():
            return os.environ["TWO_LINES"]

        if __name__ == "__main__":
            print(repr(read.remote()), flush=True)
            sys.stdin.read()
    """

    one = ran(program, TWO_LINES="one\ntwo-canary")

    assert one.process.stdout is not None
    assert one.process.stdout.readline() == "'one\\ntwo-canary'\n"
    (found,) = executors(client)
    assert "two-canary" not in json.dumps(client.inspect_container(found["Id"]))


def test_the_path_and_the_home_are_those_of_the_container(ran: Callable[..., Ran]) -> None:
    program = """
        @app.function()
        def read():
            return os.environ["PATH"], os.environ["HOME"], os.environ["COLOUR"]

        if __name__ == "__main__":
            print(read.remote())
    """

    path, home, colour = eval(ran(program, PATH=os.environ["PATH"] + ":/mine", COLOUR="red").end())

    assert (":/mine" in path, home, colour) == (False, "/root", "red")


def test_it_gets_no_new_rights_and_has_few(ran: Callable[..., Ran]) -> None:
    program = """
        @app.function()
        def read():
            lines = open("/proc/self/status").read().splitlines()
            return dict(line.split(":", 1) for line in lines)

        if __name__ == "__main__":
            found = read.remote()
            print(found["NoNewPrivs"].strip(), int(found["CapEff"], 16) & (1 << 21 | 1 << 12))
    """

    assert ran(program).end() == "1 0"


def test_what_it_prints_is_in_the_log_of_its_job(ran: Callable[..., Ran]) -> None:
    program = """
        @app.function()
        def say():
            print("printed inside")
            os.system("echo from a program")

        if __name__ == "__main__":
            job = say.spawn()
            job.wait()
            print("".join(job.logs()).strip())
    """

    assert ran(program).end().splitlines() == ["printed inside", "from a program"]


def test_a_service_in_a_container_takes_connections_of_this_machine(
    ran: Callable[..., Ran],
) -> None:
    program = """
        import urllib.request

        @app.asgi()
        def page():
            async def serve(scope, receive, send):
                if scope["type"] != "http":
                    return
                body = str(os.path.exists("/.dockerenv")).encode()
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": body})
            return serve

        if __name__ == "__main__":
            app.deploy()
            print(urllib.request.urlopen(page.get_web_url()).read().decode())
    """

    assert ran(program).end() == "True"


# --- limits and ends -----------------------------------------------------------------------------


def test_one_that_uses_too_much_memory_is_told_as_such(ran: Callable[..., Ran]) -> None:
    program = """
        @app.function(memory_mb=64)
        def use(megabytes):
            return len(b"x" * (megabytes << 20))

        if __name__ == "__main__":
            try:
                use.remote(300)
            except apothic.MemoryLimitExceeded as error:
                print(error.data["limit_mb"], error.data["evidence"])
    """

    limit, evidence = ran(program).end().split()

    assert (limit, evidence in {"cgroup-v1", "cgroup-v2"}) == ("64", True)


def test_the_container_has_the_limits_of_its_function(ran: Callable[..., Ran], client: Any) -> None:
    program = """
        @app.function(memory_mb=96, cpu=1)
        def nothing():
            return "up"

        if __name__ == "__main__":
            print(nothing.remote(), flush=True)
            sys.stdin.read()
    """

    one = ran(program)

    assert one.process.stdout is not None
    assert one.process.stdout.readline() == "up\n"
    (found,) = executors(client)
    host = client.inspect_container(found["Id"])["HostConfig"]
    assert (host["Memory"], host["NanoCpus"]) == (96 << 20, 10**9)
    assert host["PidsLimit"] > 0


def test_what_it_writes_is_limited_and_its_job_says_by_what(
    ran: Callable[..., Ran], client: Any
) -> None:
    program = """
        import errno
        from apothic._connect import connect
        from apothic_backends.commands import GetJob

        @app.function(disk_gb=0.01)
        def write():
            try:
                open("/tmp/large", "wb").write(bytes(20_000_000))
            except OSError as error:
                return error.errno in (errno.EFBIG, errno.ENOSPC)

        if __name__ == "__main__":
            job = write.spawn()
            is_limited = job.wait()
            print(is_limited, connect().start(GetJob(job.job_id)).wait().limits["disk"], flush=True)
            sys.stdin.read()
    """

    one = ran(program)

    is_limited, level = one.says().split()
    (found,) = executors(client)
    has_quota = bool(client.inspect_container(found["Id"])["HostConfig"].get("StorageOpt"))
    assert (is_limited, level) == ("True", "quota" if has_quota else "file")


HOLDS = """
    @app.function()
    def hold():
        import subprocess, time
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
        print("held", flush=True)
        time.sleep(1000)

    if __name__ == "__main__":
        job = hold.spawn()
        next(iter(job.logs(follow=True)))
        print("up", flush=True)
        sys.stdin.read()
"""


def test_nothing_is_left_of_it_when_its_host_is_killed(
    ran: Callable[..., Ran], client: Any
) -> None:
    one = ran(HOLDS)
    assert one.process.stdout is not None
    assert one.process.stdout.readline() == "up\n"
    before = len(executors(client))

    one.process.kill()

    assert before == 1
    until(lambda: not executors(client))


def test_a_container_that_is_killed_from_outside_is_a_lost_worker(
    ran: Callable[..., Ran], client: Any
) -> None:
    program = """
        @app.function()
        def hold():
            import time
            print("held", flush=True)
            time.sleep(1000)

        if __name__ == "__main__":
            job = hold.spawn()
            next(iter(job.logs(follow=True)))
            print("up", flush=True)
            try:
                job.wait()
            except apothic.WorkerLost as error:
                print(type(error).__name__, error.data["reason"])
    """
    one = ran(program)
    assert one.process.stdout is not None
    assert one.process.stdout.readline() == "up\n"
    (found,) = executors(client)

    client.kill(found["Id"])

    assert one.end() == "WorkerLost signal"


def test_without_a_daemon_a_call_fails_and_says_how_to_get_one(ran: Callable[..., Ran]) -> None:
    program = """
        @app.function()
        def nothing():
            pass

        if __name__ == "__main__":
            try:
                nothing.remote()
            except apothic.NoDocker as error:
                print("systemctl start docker" in str(error))
    """

    assert ran(program, DOCKER_HOST="unix:///nowhere.sock").end() == "True"


def test_containers_that_a_dead_host_has_left_are_removed_by_the_next_one(client: Any) -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as dead:
        dead.wait()
    world = hosts.this_host().partition(".")[0]
    left, mine = [
        client.create_container(NAME, entrypoint=["true"], labels={EXECUTOR: "1", HOST: host})["Id"]
        for host in (f"{world}.{dead.pid}.1", hosts.this_host())
    ]

    removed = hosts.reap(client)

    client.remove_container(mine)
    assert removed == [left]
