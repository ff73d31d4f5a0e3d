"""Fly Machines as its documents have it: the API, its registry, its logs, and its public addresses.

Machines that have a program run it, as a process of this computer (`tests.fakes.running`); what is
in an image is ignored. `fake.violations` are requests that the document does not allow, and answers
of the fake's own that it does not allow either.

Not as the real one: machines with services are on the network of this computer, as are all where
none may have its own (`tests.fakes.running`), so an argument that is a service's `internal_port`,
or the range of several, becomes one that is free, where clients find those services, too; a
variable that is where a volume is mounted becomes a folder; addresses speak no TLS, though they say
that they do; a machine starts when the fake is asked something after it is due; nothing is limited
to a machine's size.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from tests.fakes.document import Document
from tests.fakes.fly.calls import CALLS, Call
from tests.fakes.fly.doors import Front
from tests.fakes.fly.faults import Fault, Faults
from tests.fakes.fly.machines import Machine, program_of, usd_per_s
from tests.fakes.fly.registry import Registry
from tests.fakes.fly.state import Failed, State
from tests.fakes.running import Program
from tests.fakes.serving import Reply

DOCUMENT = Path(__file__).with_name("openapi.json")

LIMITS = {"get": (0.2, 10)}
USUAL = (1.0, 3)
"""Seconds for each call in the long run, and how many at once, of an action for a thing."""

UNLIMITED = {"org_list", "regions", "app_list", "logs", "app_get"}


class FakeFly:
    """One organisation with one token. `folder` is where its machines live; without one they only
    seem to run. `now` and `sleep` are its clock."""

    token = "fm2_a-token-of-the-fake"
    org = "personal"
    url = ""

    def __init__(
        self,
        folder: Path | None = None,
        faults: Faults | None = None,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
        is_limited: bool = False,
    ) -> None:
        self._now, self._sleep, self._folder = now, sleep, folder
        self.faults, self._is_limited = faults or Faults(), is_limited
        self.state = State(self.org, now, self._started if folder else lambda machine: None)
        self.registry, self.document = Registry(self.token), Document(DOCUMENT)
        self.violations: list[str] = []
        self.asked: Counter[str] = Counter()
        self.too_many = 0
        """How often somebody asked too often."""
        self._buckets: dict[tuple[str, str], float] = {}
        self._is_closed = False
        self._fronts: dict[str, Front] = {}
        self._lock = threading.RLock()

    # --- for tests -------------------------------------------------------------------------------

    @property
    def machines(self) -> list[Machine]:
        """All that are there."""
        with self._lock:
            self.state.tick()
            return self.state.machines

    @property
    def usd(self) -> float:
        """What all machines have cost up to now, those that are gone, too."""
        return sum(it.usd for it in [*self.machines, *self.state.gone])

    @property
    def usd_per_hour(self) -> float:
        """What all that are there cost."""
        return sum(usd_per_s(it.guest, it.region) * 3600 for it in self.machines if it.is_billed)

    def lose_host(self, machine_id: str, *, ends: bool = True, is_dark: bool = False) -> None:
        """The computer that a machine is on does not answer any more; it goes on costing.

        With `is_dark` not even what it is marked with is told.
        """
        with self._lock:
            machine = next(it for it in self.state.machines if it.id == machine_id)
            machine.host_status, machine.is_dark = "unreachable", is_dark
            if ends and machine.program is not None:
                machine.program.kill()
                machine.program = None

    def public_url(self, app: str) -> str:
        """Where what an app serves can be reached; the app need not be there yet."""
        return self._front(app).url

    def _front(self, app: str) -> Front:
        with self._lock:
            if app not in self._fronts:
                self._fronts[app] = Front(lambda its: self._leads(app, its))
            return self._fronts[app]

    def _leads(self, app: str, service: Mapping[str, Any]) -> bool:
        """Whether an address of the app leads to a port of that service."""
        its, handlers = self.state.apps.get(app), service["ports"][0]["handlers"]
        return its is not None and its.leads_to(handlers)

    def clear(self) -> None:
        """All machines are gone."""
        with self._lock:
            for app in self.state.apps.values():
                for machine in app.there:
                    self.state.destroy(app, machine)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            for machine in self.state.machines:
                if machine.program is not None:
                    machine.program.kill()
            for front in self._fronts.values():
                front.close()

    def _started(self, machine: Machine) -> Program | None:
        assert self._folder is not None
        if self._is_closed:
            return None  # one that is to start again just now
        app = self.state.apps[machine.app]
        services = machine.config.get("services", [])
        words = self._front(app.name).lead(services) if services else {}
        return program_of(machine, app.secrets, self._folder, words)

    # --- for whoever asks ------------------------------------------------------------------------

    def handle(
        self, method: str, path: str, query: str, headers: Mapping[str, str], content: bytes
    ) -> Reply:
        """Answer a request."""
        if path.startswith("/v2/"):
            return self._pushed(method, path, query, headers, content)
        words = headers.get("authorization", "").split(" ")
        if words not in (["FlyV1", self.token], ["Bearer", self.token]):
            return Reply(401, {"error": "unauthorized"})
        operation = self.document.operation(method, path)
        if operation is None:
            return self._violated(f"{method} {path}: there is no such call", 404)
        try:
            body = json.loads(content) if content else None
        except ValueError:
            return self._violated(f"{method} {path}: the body is no JSON", 400)
        asked = dict(parse_qsl(query, keep_blank_values=True))
        fixed = {key: its for key, its in asked.items() if not key.startswith("metadata.")}
        problems = self.document.problems(operation, fixed, body)
        if problems:
            return self._violated(f"{method} {path}: {'; '.join(problems)}", 400)
        self.asked[operation.id] += 1
        if self._is_limited and self._is_too_soon(operation.id, operation.places):
            self.too_many += 1
            return Reply(429, {"error": "rate limit exceeded"})
        fault = self.faults.of(operation.id)
        call = Call(operation.places, asked, headers, body, fault)
        reply = _spoilt(fault) or self._done(operation.id, call)
        for problem in self.document.answer_problems(operation, reply.status or 0, reply.body):
            if reply.status is not None and reply.status < 400:
                self.violations.append(f"answer to {method} {path}: {problem}")
        if fault.get("lose_reply"):
            return Reply(None)
        return Reply(200, "") if fault.get("garble") else _with_id(reply)

    def _done(self, action: str, call: Call) -> Reply:
        try:
            if action == "wait":
                return self._wait(call)
            with self._lock:
                self.state.tick()
                reply = CALLS[action](self.state, call)
                self.state.tick()
                return reply
        except Failed as error:
            return Reply(error.code, error.told)

    def _wait(self, call: Call) -> Reply:
        timeout = int(call.query.get("timeout", "60"))
        wanted = call.query.get("state", "started")
        if not 1 <= timeout <= 60:
            text = "invalid_argument: invalid WaitRequest.Timeout: value must be inside [1s, 1m0s]"
            raise Failed(400, text)
        until = self._now() + timeout
        while True:
            with self._lock:
                self.state.tick()
                app = self.state.app(call.places["app_name"])
                machine = app.machines.get(call.places["machine_id"])
                if machine is None:
                    if wanted == "destroyed":
                        return Reply(200, {"ok": True, "state": wanted})
                    raise Failed(404, "machine not found")
                version = call.query.get("instance_id", "")
                is_now = machine.state == wanted and version in ("", machine.instance_id)
                was_once = not version and wanted == "started" and machine.has_started
                if is_now or was_once:  # without an instance, one that is no more will do
                    return Reply(200, {"ok": True, "state": wanted, "version": version})
            if self._now() >= until:
                raise Failed(408, "deadline_exceeded: machine did not reach the state")
            self._sleep(0.05)

    def _is_too_soon(self, action: str, places: Mapping[str, str]) -> bool:
        if action in UNLIMITED:
            return False
        every_s, burst = LIMITS.get(action, USUAL)
        at = action, places.get("machine_id") or places.get("app_name", "")
        with self._lock:
            now = self._now()
            due = max(now, self._buckets.get(at, now))
            if due - now > every_s * burst - every_s + 0.001:
                return True
            self._buckets[at] = due + every_s
        return False

    def _pushed(
        self, method: str, path: str, query: str, headers: Mapping[str, str], content: bytes
    ) -> Reply:
        with self._lock:
            fault = self.faults.of("push")
            is_known = path.split("/")[2] in self.state.apps
            spoilt = _spoilt(fault)
            if spoilt is not None:
                return spoilt
            if "elsewhere" in fault:
                return Reply(202, None, (("Location", fault["elsewhere"]),))
            reply = self.registry.handle(method, path, query, headers, content, is_known=is_known)
            return Reply(None) if fault.get("lose_reply") else reply

    def _violated(self, problem: str, status: int) -> Reply:
        self.violations.append(problem)
        return Reply(status, {"error": problem})


def _spoilt(fault: Fault) -> Reply | None:
    """An answer instead of the effect."""
    if fault.get("drop"):
        return Reply(None)
    if fault.get("broken"):
        return Reply(500, {"error": "internal server error"})
    if fault.get("garbage"):
        return Reply(502, "<html><h1>502 Bad Gateway</h1></html>")
    if busy := fault.get("busy"):
        wait = () if busy is True else (("Retry-After", str(busy)),)
        return Reply(429, {"error": "rate limit exceeded"}, wait)
    if refuse := fault.get("refuse"):
        code, text, *word = refuse
        return Reply(code, {"error": text, **({"status": word[0]} if word else {})})
    return None


def _with_id(reply: Reply) -> Reply:
    return reply._replace(headers=(*reply.headers, ("fly-request-id", "01JFAKE-iad")))
