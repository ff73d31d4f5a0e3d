"""Vast's API as the documents have it: a market, machines as processes, and what they cost.

It keeps to what is documented, misbehaves as `Faults` says, and checks what it is asked: what no
document allows is refused, and kept in `violations`. Its machines really run their program, with
the variables that Vast gives and a made-up GPU for each of the offer's.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from tests.fakes.document import Document
from tests.fakes.running import start
from tests.fakes.serving import Reply
from tests.fakes.vast import market
from tests.fakes.vast.faults import Fault, Faults
from tests.fakes.vast.instance import Instance
from tests.fakes.vast.volumes import Disks, gone

DOCUMENT = Path(__file__).with_name("openapi.json")

KEY = "vast-key-of-the-tests-0123456789"

INTERVALS = {"create": 4.5, "show": 2.0, "list": 1.0, "destroy": 3.0, "manage": 1.0}
VOLUME_INTERVAL = 5.5
SEARCHES_A_MINUTE = 10
_TOLERANCE = 0.8
"""Of an interval: on the way to here calls come closer together."""

_STORED = frozenset({"id", "label", "actual_status", "gpu_name", "verification"})
"""What machines may be filtered by in a list."""


class FakeVast:
    """One account. Programs run below `folder`; without one they are only told of as if."""

    def __init__(
        self,
        *,
        folder: Path | None = None,
        offers: list[market.Row] | None = None,
        faults: Faults | None = None,
        now: Callable[[], float] = time.time,
        boot_s: float = 0.0,
        strict: bool = True,
    ) -> None:
        self.url = ""
        self.offers = market.stock() if offers is None else offers
        self.faults = faults or Faults()
        self.keys = {KEY}
        self.credit = 100.0
        self.ignored: frozenset[str] = frozenset()
        """Filters of a search that do nothing."""
        self.instances: dict[int, Instance] = {}
        self.violations: list[str] = []
        self.calls: list[str] = []
        """The actions that were asked for, in order."""
        self.labels: list[str] = []
        """Those of machines that were asked for, where that could have had its effect."""
        self.throttled: list[str] = []
        self.disks = Disks()
        self._folder, self._now, self._boot_s, self._strict = folder, now, boot_s, strict
        self._document = Document(DOCUMENT)
        self._asked: dict[str, list[float]] = {}
        self._quota_until, self._is_stale, self._hides_volumes = 0.0, False, False
        self._logs: dict[str, int] = {}
        self._numbers = iter(range(27_000_000, 28_000_000))
        self._timers: list[threading.Timer] = []
        self._lock = threading.RLock()

    # --- for tests -------------------------------------------------------------------------------

    def next(self, action: str, **fault: Any) -> None:
        """The next call of that kind goes wrong so: see `faults`."""
        self.faults.next(action, **fault)

    def tick(self) -> None:
        """What has come to pass meanwhile happens: programs start, money runs out."""
        with self._lock:
            now = self._now()
            for it in self.instances.values():
                if it.is_due(now) and self._folder is not None:
                    self._run(it, self._folder / str(it.number))
                if it.fate == "exits" and it.program is not None:
                    it.program.kill()
                if it.fate == "vanishes" and now >= it.ready_at + 1:
                    it.lose(now)
                if self.left() <= 0 and it.gone_at is None and it.stopped_at is None:
                    it.stop(now, by_vast=True)

    def alive(self) -> list[Instance]:
        """The machines that cost something."""
        with self._lock:
            return [it for it in self.instances.values() if it.gone_at is None and not it.lost_at]

    def spent(self) -> float:
        """What all machines and volumes together have cost, in $."""
        with self._lock:
            those = [*self.instances.values(), *self.disks.made.values()]
            return sum(it.cost(self._now()) for it in those)

    def left(self) -> float:
        """The credit that is left."""
        return self.credit - self.spent()

    def lose_host(self, number: int) -> None:
        """A machine's computer is gone."""
        with self._lock:
            self.instances[number].lose(self._now())

    def silence(self, number: int, seconds: float) -> None:
        """A machine's computer is not heard of for so long, and runs on."""
        with self._lock:
            self.instances[number].silent_until = self._now() + seconds

    def end_contract(self, number: int) -> None:
        """The time for which a machine was let is over."""
        with self._lock:
            self.instances[number].stop(self._now(), by_vast=True)

    def outbid(self, number: int) -> None:
        """A machine was let to somebody who pays more."""
        with self._lock:
            self.instances[number].is_bid = True
            self.instances[number].stop(self._now(), by_vast=True)

    def clear(self) -> None:
        """All machines are gone."""
        with self._lock:
            for it in self.instances.values():
                it.end(self._now())

    def close(self) -> None:
        """End all programs."""
        for timer in self._timers:
            timer.cancel()
        self.clear()

    def make(self, offer: market.Row, body: Any, fault: Fault | None = None) -> Instance:
        """A machine as somebody has rented it; `body` is what a create sends."""
        fault = fault or {}
        now = self._now()
        made = Instance(next(self._numbers), offer, body, now, self._boot_s)
        made.fate, made.factor = fault.get("fate", "runs"), fault.get("dearer", 1.0)
        made.listed_at = now + fault.get("lag_s", 0.0)
        self.instances[made.number] = made
        if self._boot_s and self._folder is not None:
            self._timers.append(threading.Timer(self._boot_s, self.tick))
            self._timers[-1].start()
        return made

    # --- being asked -----------------------------------------------------------------------------

    def handle(
        self, method: str, path: str, query: str, headers: Mapping[str, str], content: bytes
    ) -> Reply:
        """Answer a request; names of headers are in lower case."""
        with self._lock:
            self.tick()
            if path.startswith("/_logs/"):
                return self._log(path, headers)
            operation = self._document.operation(method, path)
            if operation is None:
                self.violations.append(f"{method} {path}: there is no such call")
                return _error(404, "not_found", "no such path")
            action, number = operation.id, int(operation.places.get("id", "0"))
            asked = dict(parse_qsl(query, keep_blank_values=True))
            body = _json(content)
            problems = self._document.problems(operation, asked, body)
            if problems:
                self.violations += [f"{method} {path}: {it}" for it in problems]
                return _error(400, "invalid_args", "; ".join(problems))
            self.calls.append(action)
            return self._allowed(action, number, asked, body, headers)

    def _allowed(
        self, action: str, number: int, asked: dict[str, str], body: Any, headers: Mapping[str, str]
    ) -> Reply:
        refusal = self._unauthorized(action, number, headers) or self._too_often(action)
        if refusal is not None:
            return refusal
        fault = self.faults.of(action)
        early = self._early(fault)
        if early is not None:
            return early
        reply = getattr(self, f"_on_{action}")(number, asked, body, fault)
        self.tick()
        return Reply(None) if fault.get("lose_reply") else reply

    def _unauthorized(self, action: str, number: int, headers: Mapping[str, str]) -> Reply | None:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        mine = self.instances.get(number)
        is_own = mine is not None and key == mine.key and action in ("show", "manage", "destroy")
        if scheme == "Bearer" and (key in self.keys or is_own):
            return None
        return _error(404 if action == "search" else 401, "auth_error", "Invalid user key")

    def _too_often(self, action: str) -> Reply | None:
        if not self._strict:
            return None
        now, before = self._now(), self._asked.setdefault(action, [])
        interval = VOLUME_INTERVAL if "volume" in action else INTERVALS.get(action, 0)
        span, most = (60, SEARCHES_A_MINUTE) if action == "search" else (interval * _TOLERANCE, 1)
        before[:] = [it for it in before if now - it < span]
        if len(before) >= most:
            self.throttled.append(action)
            return self._busy(interval)
        before.append(now)
        return None

    def _busy(self, threshold: float) -> Reply:
        text = f"API requests too frequent endpoint threshold={threshold:g}"
        forms: tuple[Any, ...] = (
            text,
            {"detail": text},
            {"success": False, "error": "rate_limit_exceeded", "msg": text, "retry_after": 1},
        )
        return Reply(429, self.faults.chance.choice(forms))

    def _early(self, fault: Fault) -> Reply | None:
        if fault.get("drop"):
            return Reply(None)
        if fault.get("broken"):
            return _error(500, "internal", "something went wrong")
        if fault.get("garbage"):
            return Reply(502, "<html><body>Bad gateway</body></html>")
        if fault.get("quota"):
            self._quota_until = self._now() + 6 * 3600
            reset = ("x-ratelimit-reset", str(int(self._quota_until)))
            return Reply(429, {"error": "search_quota_exceeded"}, (reset,))
        return self._busy(1) if fault.get("busy") else None

    # --- the calls -------------------------------------------------------------------------------

    def _on_search(self, number: int, asked: Any, body: Any, fault: Fault) -> Reply:
        taken = {it.offer["id"] for it in self.alive()}
        free = [row for row in self.offers if row["id"] not in taken]
        return Reply(200, {"offers": market.search(free, body, self.ignored)})

    def _on_create(self, number: int, asked: Any, body: Any, fault: Fault) -> Reply:
        self.labels.append(body["label"])
        offer = next((row for row in self.offers if row["id"] == number), None)
        taken = {it.offer["id"] for it in self.alive()}
        if offer is None or number in taken or fault.get("gone"):
            status = self.faults.chance.choice((410, 404, 400))
            text = f"error 404/3603: no_such_ask Instance type by id {number} is not available."
            return _error(status, "no_such_ask", text, ask_id=number)
        if why := self.disks.why_not(offer, body.get("volume_info")):
            return _error(400, "invalid_args", why, ask_id=number)
        if self.left() <= 0.1:
            text = "Your account lacks credit; see the billing page."
            return _error(400, "insufficient_credit", text, ask_id=number)
        if fault.get("refused"):
            return _error(200, "resources_unavailable", "Required resources are unavailable.")
        made = self.make(offer, body, fault)
        if fault.get("leaves"):
            made.stop(self._now())
            text = "your bid is too low"
            return _error(400, "invalid_price", text, new_contract=made.number)
        told = {"success": True, "new_contract": made.number, "instance_api_key": made.key}
        return Reply(200, told)

    def _run(self, it: Instance, folder: Path) -> None:
        try:
            it.program = start(it.body["args"], self._variables(it), folder, is_let=True)
        except OSError:
            it.fate = "fails"  # there is no such program in the image

    def _variables(self, it: Instance) -> dict[str, str]:
        memory_gb = ceil(it.offer["gpu_ram"] / 1024)
        model = it.offer["gpu_name"].replace("-", " ")
        places = self._places(it)
        env: dict[str, str] = {k: str(places.get(v, v)) for k, v in it.body["env"].items()}
        return {
            **env,
            "CONTAINER_ID": str(it.number),
            "CONTAINER_API_KEY": it.key,
            "VAST_CONTAINERLABEL": f"C.{it.number}",
            "PUBLIC_IPADDR": "203.0.113.7",
            "GPU_COUNT": str(it.offer["num_gpus"]),
            "APOTHIC_VAST_URL": self.url,
            "APOTHIC_FAKE_GPUS": f"{it.offer['num_gpus']}x{model}-{memory_gb}GB",
        }

    def _places(self, it: Instance) -> dict[str, str]:
        """Where what it has mounted is really: paths are those of this computer for all."""
        if it.volume is None or self._folder is None:
            return {}
        folder = self._folder / f"V.{it.volume}"
        folder.mkdir(parents=True, exist_ok=True)
        return {it.body["volume_info"]["mount_path"]: str(folder)}

    def _on_list(self, number: int, asked: dict[str, str], body: Any, fault: Fault) -> Reply:
        filters = json.loads(asked.get("select_filters", "{}"))
        if wrong := set(filters) - _STORED:
            return _error(400, "invalid_request", f"no stored columns: {sorted(wrong)}")
        now = self._now()
        rows = [it.row(now) for it in self.instances.values() if it.is_there(now)]
        self._is_stale = bool(fault.get("stale")) and not self._is_stale
        if self._is_stale:
            rows = rows[:-1]
        found = [row for row in rows if all(row[k] == v["eq"] for k, v in filters.items())]
        after = int(asked.get("after_token", "0"))
        limit = int(asked.get("limit", "25"))
        rest = [row for row in found if row["id"] > after]
        page = rest[1:limit] if fault.get("short") else rest[:limit]
        if fault.get("odd"):
            page[0] = {**page[0], "id": None}
        told = {
            "success": True,
            "instances_found": len(found),
            "total_instances": len(rows),
            "label_counts": {},
            "next_token": str(page[-1]["id"]) if len(rest) > limit else None,
            "instances": page,
        }
        return Reply(200, told)

    def _on_show(self, number: int, asked: Any, body: Any, fault: Fault) -> Reply:
        it, now = self.instances.get(number), self._now()
        row = it.row(now) if it is not None and it.is_there(now) else None
        return Reply(200, {"instances": row})

    def _on_manage(self, number: int, asked: Any, body: Any, fault: Fault) -> Reply:
        it = self.instances.get(number)
        if it is None or it.gone_at is not None:
            return _error(404, "no_such_instance", f"no instance {number}")
        if body.get("state") == "stopped":
            it.stop(self._now())
        return Reply(200, {"success": True})

    def _on_destroy(self, number: int, asked: Any, body: Any, fault: Fault) -> Reply:
        it = self.instances.get(number)
        if it is None or it.gone_at is not None:
            return _error(404, "no_such_instance", f"no instance {number}")
        if not fault.get("stubborn"):
            it.end(self._now())
        return Reply(200, {"success": True, "msg": "destroyed"})

    def _on_logs(self, number: int, asked: Any, body: Any, fault: Fault) -> Reply:
        if number not in self.instances:
            return _error(404, "no_such_instance", f"no instance {number}")
        name = f"{number}.{'daemon' if 'daemon_logs' in body else 'log'}"
        self._logs[name] = fault.get("log_after", 1)
        return Reply(200, {"success": True, "result_url": f"{self.url}/_logs/{name}"})

    def _log(self, path: str, headers: Mapping[str, str]) -> Reply:
        """Where logs are put, which is not Vast: after a while, and for whoever knows the name."""
        if "authorization" in headers:
            self.violations.append(f"GET {path}: the key was sent to a stranger")
        name = path.removeprefix("/_logs/")
        self._logs[name] = self._logs.get(name, 1_000_000) - 1
        if self._logs[name] >= 0:
            return Reply(403, "<Error>AccessDenied</Error>")
        number, _, kind = name.partition(".")
        it = self.instances[int(number)]
        program = it.program
        printed = program.output() if program is not None else ""
        return Reply(200, it.row(self._now())["status_msg"] or "" if kind == "daemon" else printed)

    def _on_user(self, number: int, asked: Any, body: Any, fault: Fault) -> Reply:
        told = {"id": 1234, "email": "somebody@example.com", "balance": 0.0, "sid": "a-session"}
        return Reply(200, {**told, "credit": self.left(), "api_key": KEY})

    # --- volumes ---------------------------------------------------------------------------------

    def _on_search_volumes(self, number: int, asked: Any, body: Any, fault: Fault) -> Reply:
        return Reply(200, {"offers": self.disks.offers(self.offers, body)})

    def _on_create_volume(self, number: int, asked: Any, body: Any, fault: Fault) -> Reply:
        if fault.get("gone"):
            self.disks.asked.append(body.get("name", ""))
            return self._of_disks(gone())
        return self._of_disks(self.disks.make(self.offers, body, self._now()))

    def _on_volumes(self, number: int, asked: Any, body: Any, fault: Fault) -> Reply:
        rows = self.disks.listed([*self.instances.values()], self._now())
        self._hides_volumes = bool(fault.get("stale")) and not self._hides_volumes
        return Reply(200, {"volumes": [] if self._hides_volumes else rows})

    def _on_delete_volume(self, number: int, asked: Any, body: Any, fault: Fault) -> Reply:
        if fault.get("stubborn"):
            return Reply(200, {"success": True})
        machines = [*self.instances.values()]
        return self._of_disks(self.disks.delete(body["id"], machines, self._now()))

    def _of_disks(self, told: dict[str, Any]) -> Reply:
        return Reply(told.pop("status", 200), told)


def _error(status: int, error: str, text: str, **more: Any) -> Reply:
    return Reply(status, {"success": False, "error": error, "msg": text, **more})


def _json(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return content.decode("utf-8", "replace")
