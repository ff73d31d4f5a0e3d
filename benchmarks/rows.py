"""The rows of the comparison: what each measures, on how many workers, and what its goals are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stats import Interval, interval, ratios

Samples = dict[str, dict[str, list[float]]]
"""Subject, metric, one value a round."""


@dataclass(frozen=True)
class Goal:
    """A bound on a metric of ours: in parts of a peer's, as a factor over it, or absolute.

    `faster` turns the ratio round, so that "at least 15 x faster" reads as it is said.
    """

    metric: str
    bound: float
    peer: str = ""
    subject: str = "apothic"
    at_most: bool = True
    faster: bool = False

    def verdict(self, samples: Samples) -> Interval | None:
        """The figure that the bound is about; None when a side of it was not measured."""
        ours = samples.get(self.subject, {}).get(self.metric)
        if not ours:
            return None
        if not self.peer:
            return interval(ours)
        theirs = samples.get(self.peer, {}).get(self.metric)
        if not theirs:
            return None
        pairs = ratios(theirs, ours) if self.faster else ratios(ours, theirs)
        return interval(pairs) if pairs else None

    def met(self, found: Interval) -> bool:
        """Whether the interval reaches the bound."""
        return found.reaches(self.bound, at_most=self.at_most and not self.faster)

    def __str__(self) -> str:
        sign = "≤" if self.at_most and not self.faster else "≥"
        what = f"{self.subject} {self.metric}" if self.subject != "apothic" else self.metric
        if self.faster:
            return f"{what} {sign} {self.bound:g} x faster than {self.peer}"
        return f"{what} {sign} {self.bound:g}" + (f" x {self.peer}" if self.peer else "")


@dataclass(frozen=True)
class Row:
    """One question.

    `how` names the collector. `fresh` rows get new processes in each of at most `rounds` rounds;
    the others keep theirs. `units` gives each metric's meaning, in the order of the table.
    """

    title: str
    goals: tuple[Goal, ...]
    units: Mapping[str, str]
    how: str = "drivers"
    subjects: tuple[str, ...] = ("apothic", "ppe", "loky", "ray")
    workers: int = 1
    rounds: int = 1000
    fresh: bool = False
    programs: Mapping[str, str] = field(default_factory=dict)


CALL = {"p50_us": "p50 µs", "p99_us": "p99 µs", "cpu_us": "CPU µs/call"}

ROWS = {
    "remote": Row(
        "Warm blocking call of a no-op, one worker",
        (
            Goal("p50_us", 0.5, "ppe"),
            Goal("cpu_us", 1, "ppe"),
            Goal("p50_us", 15, "ray", faster=True),
        ),
        CALL,
    ),
    "aio": Row(
        "The same, awaited on asyncio",
        (Goal("p50_us", 0.8, "ppe"),),
        CALL,
    ),
    "method": Row(
        "Warm blocking call of a method of an object with a name, beside a call of a function",
        (Goal("p50_us", 1.1, "apothic", subject="objects"),),
        CALL,
        subjects=("objects", "apothic", "actors"),
    ),
    "exec": Row(
        "`true` in a sandbox, to its return code, beside `subprocess.run`",
        (Goal("p50_us", 1.5, "subprocess", subject="sandboxes"),),
        CALL,
        subjects=("sandboxes", "subprocess"),
    ),
    "create": Row(
        "A new sandbox, until it takes commands",
        (Goal("create_ms", 50, subject="sandboxes"),),
        {"create_ms": "ms"},
        subjects=("sandboxes",),
    ),
    "boxed": Row(
        "Warm blocking call of a no-op in a container, beside one in a process",
        (Goal("p50_us", 2, "apothic", subject="containers"),),
        CALL,
        subjects=("containers", "apothic"),
    ),
    "container": Row(
        "The first call of a function, in a container of its own, beside `docker run`",
        (
            Goal("start_ms", 1.3, "docker", subject="containers"),
            Goal("ready_ms", 20, subject="containers"),
        ),
        {"start_ms": "ms, to the first result", "ready_ms": "ms, finding the image"},
        subjects=("containers", "docker"),
        rounds=5,
    ),
    "image": Row(
        "The first call of a new function in an image whose environment is there, over one without "
        "an image: another function runs in the same one, and none in this program does",
        (
            Goal("warm_more_ms", 20, subject="images"),
            Goal("cold_more_ms", 20, subject="images"),
        ),
        {
            "plain_ms": "ms, no image",
            "warm_more_ms": "ms more",
            "cold_more_ms": "ms more, the first",
        },
        subjects=("images",),
    ),
    "map": Row(
        "10,000 no-ops over two workers, each its own job; apothic with a reader of all events",
        (
            Goal("jobs_s", 1.5, "loky", at_most=False),
            Goal("jobs_s", 7, "ray", at_most=False),
            Goal("events_missing", 0),
        ),
        {
            "jobs_s": "jobs/s",
            "cpu_us": "CPU µs/job",
            "watched_s": "s until all is seen",
            "events_missing": "events missing",
            "events": "events seen",
        },
        workers=2,
    ),
    "items": Row(
        "A generator of 20,000 small numbers, one worker; and how soon its first item is here",
        (
            Goal("items_s", 100_000, at_most=False),
            Goal("items_s", 15, "ray", at_most=False),
            Goal("first_us", 0.5, "ray"),
        ),
        {"items_s": "items/s", "cpu_us": "CPU µs/item", "first_us": "first item, µs"},
        subjects=("apothic", "ray"),
    ),
    "crowd": Row(
        "100 watchers on one asyncio loop, each of 10,000 events of jobs that run meanwhile",
        (
            Goal("deliveries_s", 50_000, at_most=False),
            Goal("holes", 0),
            Goal("resets", 0),
        ),
        {"deliveries_s": "deliveries/s", "holes": "holes", "resets": "resets"},
        subjects=("apothic",),
        workers=2,
        rounds=5,
    ),
    "first": Row(
        "A whole program: start, first result from another process, end; and what importing costs",
        (
            Goal("whole_ms", 3, "ppe"),
            Goal("whole_ms", 20, "ray", faster=True),
            Goal("whole_ms", 3, "bare", subject="import"),
            Goal("whole_ms", 5, "bare", subject="declare"),
        ),
        {"whole_ms": "ms"},
        how="programs",
        subjects=("apothic", "ppe", "loky", "ray", "bare", "import", "declare"),
        programs={
            "bare": "bare",
            "import": "import_apothic",
            "declare": "declare_apothic",
        },
    ),
    "payload": Row(
        "A fresh 100 MB array as argument, and as result; summed and written to where it arrives",
        (
            Goal("in_ms", 0.7, "ray"),
            Goal("out_ms", 0.7, "ray"),
            Goal("in_peak", 1.2),
            Goal("out_peak", 1.2),
        ),
        {
            "in_ms": "in, ms",
            "out_ms": "out, ms",
            "in_peak": "in: caller grows, arrays",
            "out_peak": "out: caller grows, arrays",
        },
    ),
    "kill": Row(
        "A worker killed under its job (one retry left); and under one job among 20, two workers",
        (Goal("retried_ms", 50), Goal("innocents_lost", 0)),
        {"retried_ms": "ms to the result", "innocents_lost": "lost of 20"},
        workers=2,
    ),
    "idle": Row(
        "A program that waits after its first call: memory, and what it does in 10 s",
        (Goal("pss_mb", 2, "ppe"), Goal("cpu_ms", 1), Goal("switches", 2)),
        {"pss_mb": "PSS MB", "cpu_ms": "CPU ms", "switches": "wake-ups"},
        how="idle",
        rounds=3,
    ),
    "queue": Row(
        "100,000 jobs with 64 bytes each waiting behind a busy worker, handles held",
        (Goal("kib_per_job", 2),),
        {"kib_per_job": "KiB/job", "spawn_us": "µs/submission"},
        rounds=3,
        fresh=True,
    ),
    "fresh": Row(
        "A fresh runtime on a warm zygote: open, one blocking call, close; median of 200",
        (Goal("whole_ms", 15),),
        {"whole_ms": "ms", "open_ms": "open", "call_ms": "call", "close_ms": "close"},
        subjects=("apothic",),
    ),
    "timers": Row(
        "24 h of virtual time with 1,000 timers: jobs in a worker, and in the core alone",
        (Goal("runtime_s", 1), Goal("core_s", 1)),
        {"runtime_s": "s, with worker jobs", "core_s": "s, core alone"},
        subjects=("apothic",),
    ),
    "placement": Row(
        "Choosing among 50,000 offers: for the spec's function, and for one that most of them meet",
        (Goal("narrow_ms", 100), Goal("wide_ms", 100)),
        {"narrow_ms": "ms, few are left", "wide_ms": "ms, most are left"},
        subjects=("apothic",),
    ),
    "machines": Row(
        "100,000 jobs on 1,000 machines in virtual time, at nine tenths of their cores: what a "
        "step of the core takes of a processor, also with fewer; and how long a job waited",
        (Goal("growth", 2), Goal("longest_s", 5), Goal("whole_s", 60)),
        {
            "us_8": "µs/step, 8 machines",
            "us_80": "80",
            "us_1000": "1,000",
            "growth": "1,000 : 8",
            "longest_s": "s, longest wait",
            "whole_s": "s, longest wait for a whole machine",
        },
        subjects=("apothic",),
    ),
    "durable": Row(
        "Writes of 150 bytes that are on disk when they are acknowledged: one client, and 256",
        (
            Goal("single_s", 2_000, subject="durable", at_most=False),
            Goal("many_s", 20_000, subject="durable", at_most=False),
            Goal("many_s", 1, "redis", subject="durable", at_most=False),
        ),
        {"single_s": "writes/s, one client", "many_s": "writes/s, 256 clients"},
        subjects=("durable", "redis", "sqlite"),
    ),
    "handover": Row(
        "Items through a queue in memory: put and get, one by one, from the user's process and "
        "from a worker; and 1,000 at once, pipelined in Redis",
        (
            Goal("pairs_s", 10, "loopback", subject="handover", at_most=False),
            Goal("there_s", 2, "loopback", subject="handover", at_most=False),
            Goal("items_s", 1, "loopback", subject="handover", at_most=False),
        ),
        {"pairs_s": "pairs/s", "there_s": "pairs/s, from a worker", "items_s": "items/s"},
        subjects=("handover", "loopback", "manager"),
    ),
    "served": Row(
        "No-ops over a connection to a server with a durable store that runs them itself, to one "
        "whose only agent does, and to Dask's scheduler and Ray, which keep nothing: one after the "
        "other, 1,000 by one client; submissions at once; and by a POST",
        tuple(
            goal
            for subject in ("served", "joined")
            for goal in (
                Goal("p50_ms", 4, subject=subject),
                Goal("jobs_s", 300, subject=subject, at_most=False),
                Goal("submits_s", 1_000, subject=subject, at_most=False),
                Goal("post_ms", 4, subject=subject),
            )
        ),
        {
            "p50_ms": "ms, p50",
            "p99_ms": "ms, p99",
            "jobs_s": "jobs/s",
            "submits_s": "submits/s, on disk",
            "post_ms": "ms by POST, p50",
        },
        subjects=("served", "joined", "dask", "ray"),
    ),
    "watchers": Row(
        "500 watchers over HTTP, each of 300 events of 4 KiB; a tenth of them slow",
        (Goal("holes", 0, subject="served"), Goal("peak_mb", 200, subject="served")),
        {
            "deliveries_s": "deliveries/s",
            "holes": "holes",
            "resets": "resets",
            "cuts": "cut off",
            "peak_mb": "MB, the server's peak",
        },
        subjects=("served",),
        rounds=3,
    ),
    "loss": Row(
        "An agent with a lease of 3 s is killed, or falls silent, until that is known of its job",
        (Goal("killed_s", 4, subject="joined"), Goal("silent_s", 4, subject="joined")),
        {"killed_s": "s, killed", "silent_s": "s, silent"},
        subjects=("joined",),
        rounds=5,
    ),
    "storm": Row(
        "500 agents that come back to a server which was killed: all at the same moment; and by "
        "their own pauses, from the moment at which it serves again",
        (
            Goal("joins_s", 100, subject="agents", at_most=False),
            Goal("commits", 5, subject="agents"),
        ),
        {
            "joins_s": "joins/s, at once",
            "back_s": "s until all are back",
            "commits": "writes of the store",
        },
        subjects=("agents",),
        rounds=3,
    ),
    "reload": Row(
        "100,000 jobs that wait, and 5,000 queues with an item each or 5,000 dicts with a key "
        "each, until a fresh control plane knows them",
        (Goal("reload_s", 3, subject="durable"), Goal("dicts_s", 3, subject="durable")),
        {"reload_s": "s, with queues", "dicts_s": "s, with dicts"},
        subjects=("durable",),
        rounds=5,
    ),
    "requests": Row(
        "wrk over 1, 16 and 64 kept connections to a small ASGI application, and the same under "
        "plain uvicorn with uvloop and httptools",
        tuple(
            goal
            for count in (1, 16, 64)
            for goal in (
                Goal(f"c{count}_s", 0.95, "uvicorn", subject="services", at_most=False),
                Goal(f"c{count}_p99_ms", 1 / 0.95, "uvicorn", subject="services"),
            )
        ),
        {
            "c1_s": "requests/s, 1",
            "c1_p99_ms": "p99 ms",
            "c16_s": "requests/s, 16",
            "c16_p99_ms": "p99 ms",
            "c64_s": "requests/s, 64",
            "c64_p99_ms": "p99 ms",
        },
        subjects=("services", "uvicorn"),
    ),
    "gateway": Row(
        "wrk over 64 kept connections to that application on an agent of the same machine, through "
        "the gateway of a server that runs nothing itself; and under plain uvicorn",
        (Goal("c64_s", 0.8, "uvicorn", subject="gateway", at_most=False),),
        {"c64_s": "requests/s, 64", "c64_p99_ms": "p99 ms"},
        subjects=("gateway", "uvicorn"),
    ),
    "saves": Row(
        "From the save of a program with NumPy, pandas and FastAPI until its new version answers: "
        "`apothic dev`, and `uvicorn --reload`",
        (
            Goal("saved_ms", 100, subject="services"),
            Goal("saved_ms", 5, "uvicorn", subject="services", faster=True),
        ),
        {"saved_ms": "ms"},
        subjects=("services", "uvicorn"),
        rounds=5,
    ),
    "swaps": Row(
        "Requests over 64 kept connections, half of them by POST, while 20 versions are deployed",
        (Goal("failed", 0, subject="services"),),
        {"requests": "requests", "failed": "failed", "reload_ms": "ms a version, under load"},
        subjects=("services",),
        rounds=3,
    ),
    "wake": Row(
        "The first request to a service of which no process runs",
        (Goal("wake_ms", 60, subject="services"),),
        {"wake_ms": "ms"},
        subjects=("services",),
        rounds=5,
    ),
    "ends": Row(
        "A service is stopped with 50 WebSockets and 50 event streams open, until all have ended",
        (Goal("end_ms", 250, subject="services"), Goal("improper", 0, subject="services")),
        {"end_ms": "ms", "improper": "without a proper end"},
        subjects=("services",),
        rounds=5,
    ),
}
