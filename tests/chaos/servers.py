"""Kill a server at random while clients use it: `python -m tests.chaos.servers --kills 100`.

Clients ask over HTTP, and ask again under the same `Idempotency-Key` until they hear something. At
the end, what was acknowledged must be there, once: each job that was submitted, each item that was
put and not taken, each step of a counter. A job that ran when its server was killed may be lost,
but must have an end.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.server.served import Served

PATIENCE_S = 60.0


class Client:
    """Asks until it hears something."""

    def __init__(self, name: str, port: int, token: str) -> None:
        self.name = name
        self._port = port
        self._count = 0
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.repeated = 0
        """Requests that had to be sent more than once."""

    def ask(self, command: str, **fields: Any) -> Any:
        """The reply; raises what the server says of the command itself."""
        self._count += 1
        headers = {**self._headers, "Idempotency-Key": f"{self.name}-{self._count}"}
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            told = self._try(command, json.dumps(fields), headers)
            if told is not None and "reply" in told:
                return told["reply"]
            if told is not None and told["error"]["code"] != "backend_closed":
                raise AssertionError(f"{self.name}: {command}: {told['error']}")
            self.repeated += 1
            time.sleep(0.02)
        raise AssertionError(f"{self.name}: {command} had no answer in {PATIENCE_S:g} s")

    def _try(self, command: str, body: str, headers: dict[str, str]) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        try:
            connection.request("POST", f"/v1/{command}", body, headers)
            return json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()


class Work:
    """What clients do until they are told to stop, and what they have been told."""

    def __init__(self, port: int, token: str, run: str) -> None:
        self.is_over = False
        self.failures: list[str] = []
        self.jobs: list[str] = []
        self.put: list[int] = []
        self.taken: list[int] = []
        self.steps = 0
        self.ends: dict[str, int] = {}
        self.function = ""
        kinds: list[Callable[[Client], None]] = [self._submit, self._put, self._take, self._count]
        self.clients = [Client(f"{run}-{kind.__name__}", port, token) for kind in kinds]
        self._threads = [
            threading.Thread(target=self._work, args=pair)
            for pair in zip(kinds, self.clients, strict=True)
        ]

    def start(self) -> None:
        client = self.clients[0]
        client.ask("open-queue", queue="chaos")
        client.ask("put-key", name="chaos", key='"n"', value={"data": 0}, create=True)
        self.function = client.ask(
            "register-function",
            spec={"app_name": "chaos", "name": "int", "max_pending_tasks": 100_000},
            code={"codec": "ref", "data": "builtins:int"},
        )
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self.is_over = True
        for thread in self._threads:
            thread.join()

    def _work(self, do: Callable[[Client], None], client: Client) -> None:
        try:
            while not self.is_over:
                do(client)
        except Exception as error:  # told, whatever it is
            self.failures.append(f"{error!r}"[:500])

    def _submit(self, client: Client) -> None:
        arguments = {"data": {"args": [str(len(self.jobs))]}}
        self.jobs.append(client.ask("submit-job", function_id=self.function, arguments=arguments))

    def _put(self, client: Client) -> None:
        items = {"items": [{"data": len(self.put)}]}
        client.ask("put-items", queue="chaos", items=items, count=1)
        self.put.append(len(self.put))

    def _take(self, client: Client) -> None:
        self.taken += take(client, 3)

    def _count(self, client: Client) -> None:
        (entry,) = client.ask("get-keys", name="chaos", keys=['"n"'])
        value = {"data": entry["value"]["data"] + 1}
        rev = client.ask("put-key", name="chaos", key='"n"', value=value, if_rev=entry["rev"])
        if rev is None:
            raise AssertionError("a key was written that nobody else writes")
        self.steps += 1


def take(client: Client, count: int) -> list[int]:
    told = client.ask("take-items", queue="chaos", count=count, timeout_s=0)
    return [one["data"] for one in told["items"]["items"]] if told["count"] else []


def run(kills: int, seed: int, mean_s: float) -> dict[str, object]:
    """Do it; what was seen."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        server = Served(Path(folder), port=port)
        work = Work(port, server.token, f"{seed}")
        work.start()
        for _ in range(kills):
            time.sleep(rng.expovariate(1 / mean_s))
            server.kill()
            server.close()
            server = Served(Path(folder), port=port)
            if work.failures:
                break
        work.stop()
        failures = [*work.failures, *_check(work)]
        server.close()
    return {
        "seed": seed,
        "kills": kills,
        "jobs": len(work.jobs),
        "items": len(work.put),
        "steps": work.steps,
        "repeated": sum(client.repeated for client in work.clients),
        "ends": work.ends,
        "failures": failures,
    }


def _check(work: Work) -> list[str]:
    client = work.clients[0]
    failures: list[str] = []
    while more := take(client, 1000):
        work.taken += more
    seen = Counter(work.taken)
    failures += [f"item {item} was lost" for item in work.put if not seen[item]]
    failures += [f"item {item} was had {times} times" for item, times in seen.items() if times > 1]
    (entry,) = client.ask("get-keys", name="chaos", keys=['"n"'])
    if entry["value"]["data"] != work.steps:
        failures.append(f"{work.steps} steps were counted, and {entry['value']['data']} are kept")
    failures += [f"{job} twice" for job, times in Counter(work.jobs).items() if times > 1]
    ends: Counter[str] = Counter()
    for job in work.jobs:
        outcome = client.ask("wait-job", job_id=job)
        ends[outcome["status"]] += 1
        if outcome["status"] not in ("succeeded", "lost"):
            failures.append(f"{job} is {outcome['status']}")
    work.ends = dict(ends)
    return failures


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.servers", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mean", type=float, default=0.5, help="seconds between two kills")
    options = parser.parse_args()
    told = run(options.kills, options.seed, options.mean)
    sys.stdout.write(json.dumps(told, indent=2) + "\n")
    sys.exit(1 if told["failures"] else 0)


if __name__ == "__main__":
    main()
