"""What is always true of a control plane between two steps.

`check` costs time in proportion to everything that is held, so it runs in tests and under
`python -X dev` only.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise

from apothic_backends.model.jobs import JobStatus
from apothic_emulator.core.batches import BatchExecutor, BatchPool
from apothic_emulator.core.costs import Costs
from apothic_emulator.core.eventlog import EventLog
from apothic_emulator.core.executors import Executor, ExecutorStatus
from apothic_emulator.core.jobs import NEVER, Job
from apothic_emulator.core.ledger import KEPT_INPUT, Ledger
from apothic_emulator.core.plane import Plane
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.shared import SharedWait
from apothic_emulator.core.streams import MOST_AHEAD, MOST_AHEAD_BYTES, Stream

_IN_LINE = (JobStatus.DISPATCHED, JobStatus.RUNNING)


def check(plane: Plane) -> None:
    """See to it that everything agrees with everything else.

    Raises:
        AssertionError: something does not; the message says what.
    """
    plane.scheduler.agents.check()
    placed: set[int] = set()
    for pool in plane.pools.values():
        pool.census.check()
        _check_queue(plane, pool, placed)
        for executor in pool.executors.values():
            _sure(plane.ledger.executors.get(executor.number) is executor, "executor", executor)
            _check_line(executor, placed)
            _check_slots(executor)
            _check_waits(plane.ledger, executor)
            _check_deadlines(plane, executor)
    waiting = sum(len(pool.queue) + len(pool.delayed) for pool in plane.pools.values())
    _sure(waiting == plane.ledger.waiting, "jobs that wait", waiting, plane.ledger.waiting)
    held = sum(len(pool.executors) for pool in plane.pools.values())
    _sure(held == len(plane.ledger.executors), "executors without a pool")
    _check_jobs(plane.ledger, placed)
    _check_agents(plane)
    for it in plane.schedules.timetables.values():
        due = it.due - plane.ledger.events.wall_offset
        _sure(plane.alarm <= due, "a run that nothing wakes", it.pool.function.spec.name)
    _check_tokens(plane)
    for part in plane.shared.parts.values():
        part.check()
    _sure(plane.alarm <= plane.shared.alarm, "a wait that nothing ends")
    plane.operations.check()
    _check_costs(plane.costs)
    _check_let_go(plane.ledger)
    _sure(not plane.ledger.replies and not plane.scheduler.effects, "left from a step")


def _sure(is_true: object, what: str, *about: object) -> None:
    if not is_true:
        raise AssertionError(f"{what}: {', '.join(map(_name, about))}" if about else what)


def _name(thing: object) -> str:
    if isinstance(thing, Job):
        return f"{thing.job_id} ({thing.status})"
    if isinstance(thing, Executor):
        return f"executor {thing.number} ({thing.status.value})"
    return repr(thing)


def _place(job: Job, placed: set[int]) -> None:
    _sure(job.number not in placed, "in two places", job)
    _sure(not job.is_final, "ended, but still somewhere", job)
    placed.add(job.number)


def _check_queue(plane: Plane, pool: Pool, placed: set[int]) -> None:
    order = [(-job.level, job.number) for job in pool.queue]
    _sure(order == sorted(order), "out of order", order)
    for job in (*pool.queue, *pool.delayed):
        _place(job, placed)
        _sure(job.status is JobStatus.QUEUED, "queued with another status", job)
        _sure(job.executor == 0 and job.stop is None, "queued, but also elsewhere", job)
    for job in pool.delayed:
        _sure(plane.alarm <= job.not_before, "a retry that nothing wakes", job)
    _sure(not pool.rest_until or plane.alarm <= pool.rest_until, "a rest without an end")
    _sure(not pool.room or pool in plane.admission.crowded, "nobody looks for room")
    may_begin = not plane.costs.is_exhausted
    is_roomy = not plane.ledger.payload_bytes and plane.ledger.waiting < plane.ledger.quotas.jobs
    is_unused = pool.room and pool.has_room and is_roomy
    _sure(not (is_unused and may_begin), "room unused")
    if pool.queue and not pool.queue[0].level and not may_begin:
        return
    is_starved = _is_starved(plane, pool)
    if isinstance(pool, BatchPool):
        _check_batches(plane, pool, is_starved=is_starved)
    elif pool.queue and not pool.rest_until and not is_starved:
        level = pool.queue[0].level
        idle = pool.pick(level, 0.0)
        is_idle = idle is not None and idle.loaded and idle.room > 0
        _sure(not is_idle, "an idle slot and a waiting job", pool.queue[0])
        _sure(not pool.may_start(level, 0.0), "a free place and a waiting job", pool.queue[0])


def _is_starved(plane: Plane, pool: Pool) -> bool:
    """Whether it has found no place on any agent, and will be given one."""
    number = pool.function.number
    agents = plane.scheduler.agents
    is_known = agents.starved.get(number) is pool and bool(pool.queue)
    if is_known:
        level = pool.queue[0].level
        _sure(agents.place(pool.function, level) is None, "a place and a starved pool", number)
    return is_known


def _check_agents(plane: Plane) -> None:
    agents = plane.scheduler.agents
    found = [e for agent in agents.far.values() for e in agent.executors.values()]
    far = {number for number, e in plane.ledger.executors.items() if e.agent}
    _sure({executor.number for executor in found} == far, "on no agent, or on two", far)
    for number, agent in agents.far.items():
        _sure(agent.number == number, "under a foreign number", number)
        _sure(plane.alarm <= agent.lease_until or agent.is_given_up, "a lease without an end")
        _sure(plane.alarm <= agent.forget_at, "an agent that nobody forgets", number)
        _sure(not (agent.is_joined and agent.is_given_up), "joined and given up", number)
        for executor in agent.executors.values():
            _sure(executor.agent == number, "on another agent", executor)
            is_up = executor.status is ExecutorStatus.READY
            _sure(agent.is_joined or not is_up, "up without its agent", executor)


def _check_batches(plane: Plane, pool: BatchPool, *, is_starved: bool) -> None:
    """Which inputs are together, and that none waits for company longer than it may."""
    executors = [e for e in pool.executors.values() if isinstance(e, BatchExecutor)]
    _sure(len(executors) == len(pool.executors), "executors without places for batches")
    for executor in executors:
        _check_together(executor, pool.most)
    is_free = bool(pool.queue) and not pool.rest_until and not is_starved
    if is_free and pool.has_place(pool.queue[0].level, 0.0):
        _sure(pool.next_batch(-NEVER) == [], "a full batch and a free place", *pool.queue)
        _sure(plane.alarm <= pool.due_at, "a batch that nothing wakes", *pool.queue)


def _check_together(executor: BatchExecutor, most: int) -> None:
    _sure(len(executor.batches) <= executor.places, "more batches than places", executor)
    in_order = [job for batch in executor.batches for job in batch.jobs]
    _sure(in_order == executor.line, "a line that is not its batches", executor)
    for batch in executor.batches:
        jobs = batch.jobs
        _sure(0 < len(jobs) <= most, "too many in a batch", *jobs)
        _sure(len(jobs) == 1 or not any(job.is_alone for job in jobs), "in bad company", *jobs)
        _sure(len({job.level for job in jobs}) == 1, "mates at two levels", *jobs)
        _sure(len({job.started_at for job in jobs}) == 1, "mates that began apart", *jobs)


def _check_line(executor: Executor, placed: set[int]) -> None:
    for job in executor.line:
        _place(job, placed)
        _sure(job.executor == executor.number, "in a foreign line", job, executor)
        _sure(job.function.number == executor.function.number, "in another's executor", job)
        _sure(job.status in _IN_LINE, "in a line with another status", job, executor)
        _sure((job.started_at is None) is (job.status is _IN_LINE[0]), "start and status", job)


def _check_slots(executor: Executor) -> None:
    begun = [job for job in executor.line if job.status is JobStatus.RUNNING]
    slots = executor.line[: executor.slots]
    _sure(all(job in slots for job in begun), "running outside of its slots", executor)
    running = {job.number for job in begun}
    _sure(executor.holders <= running, "a breakpoint in a job that does not run", executor)
    if executor.status is ExecutorStatus.READY:
        _sure(executor.loaded and not executor.is_used_up, "ready, but not fit", executor)
        is_told = executor.recalling or executor.accepted is not None
        _sure(is_told or begun == slots, "a slot that does not run", executor)
        waits = not executor.recalling and executor.accepted and executor.unbegun
        _sure(not waits, "accepted in a slot, and not told to begin", executor)
        _sure(not executor.deaf, "ready, but deaf", executor)
    if executor.status in (ExecutorStatus.STARTING, ExecutorStatus.RETIRING):
        _sure(not begun, "running where nothing can run", executor)


def _check_waits(ledger: Ledger, executor: Executor) -> None:
    parked: dict[int, int] = {}
    for token, wait in executor.waits.items():
        _sure(ledger.waits.get(token) is wait, "a wait that nobody answers", executor)
        _sure(wait.token is token and wait.executor == executor.number, "a foreign wait", executor)
        if wait.caller is not None:
            _sure(wait.caller in executor.running, "parked, but not running", wait.caller)
            parked[wait.caller.number] = parked.get(wait.caller.number, 0) + 1
            below = wait.awaited
            is_below = below is None or below.level > wait.caller.level
            _sure(is_below, "not below its caller", below, wait.caller)
    for job in executor.line:
        _sure(job.parked == parked.get(job.number, 0), "parked count", job)
    _sure(executor.parked == len(parked), "parked jobs", executor)


def _check_deadlines(plane: Plane, executor: Executor) -> None:
    _sure(plane.alarm <= executor.looked_at <= executor.due, "nobody looks", executor)
    _sure(executor.due <= executor.step_at, "a step that nothing wakes", executor)
    if executor.serves:
        _sure(not executor.line, "jobs where requests are taken", executor)
    elif executor.status is ExecutorStatus.READY and not executor.line:
        keep_s = plane.scheduler.idle_s if executor.keep_s is None else executor.keep_s
        until = executor.idle_since + keep_s + bool(executor.agent)  # those end in a full second
        _sure(executor.due <= until, "idle for ever", executor)
    if executor.status in (ExecutorStatus.READY, ExecutorStatus.DRAINING):
        for job in executor.line:
            is_held = executor.holders and job.stop is None
            _sure(is_held or executor.due <= job.deadline, "a deadline that nothing wakes", job)


def _check_jobs(ledger: Ledger, placed: set[int]) -> None:
    nbytes = 0
    for number, job in ledger.jobs.items():
        _sure(number == job.number, "under a foreign number", job)
        if job.stream is not None:
            _check_stream(ledger, job, job.stream)
        if job.is_final:
            _check_ended(job)
        else:
            _sure(number in placed, "nowhere", job)
            nbytes += job.nbytes
    _sure(placed <= ledger.jobs.keys(), "placed, but unknown")
    _sure(nbytes == ledger.payload_bytes, "payload bytes", nbytes, ledger.payload_bytes)


def _check_ended(job: Job) -> None:
    _sure(job.status.is_final, "ended, but not final", job)
    _sure(job.waiters is None and not job.parked, "ended, but somebody waits", job)
    _sure(len(job.arguments.data) <= KEPT_INPUT, "ended, but holds its arguments", job)
    _sure(not job.arguments.buffers, "ended, but holds large arguments", job)
    _sure(job.log is None or not job.log.open, "ended, with a line that is not told", job)
    has_result = job.status is JobStatus.SUCCEEDED and job.held
    _sure(has_result or job.result is None, "a result that nobody holds", job)
    _sure((job.error is None) is (job.status is JobStatus.SUCCEEDED), "error and status", job)


def _check_stream(ledger: Ledger, job: Job, stream: Stream) -> None:
    chunks = stream.chunks
    is_over = job.is_final and not job.held
    _sure(not is_over or not chunks, "ended, but holds items", job)
    _sure(stream.taken <= stream.given <= stream.produced, "items out of order", job)
    ends = [stream.taken, *(chunk.end for chunk in chunks)]
    counts = [after - before for before, after in pairwise(ends)]
    _sure(counts == [chunk.length for chunk in chunks], "numbers of items", job)
    _sure(is_over or ends[-1] == stream.produced, "items are missing", job)
    ahead, nbytes = sum(counts), sum(chunk.nbytes for chunk in chunks)
    _sure(nbytes == stream.nbytes, "bytes of items", job)
    _sure(ahead <= MOST_AHEAD and (ahead < 2 or nbytes <= MOST_AHEAD_BYTES), "too far ahead", job)  # noqa: PLR2004
    _sure(len(stream.readers) <= (not chunks and not job.is_final), "an item and a reader", job)
    opener = ledger.executors.get(stream.opener)
    is_known = opener is not None and opener.opened.get(job.number) is job
    _sure(is_known is (opener is not None and not is_over), "opened by somebody else", job)


def _check_tokens(plane: Plane) -> None:
    ledger = plane.ledger
    groups = [job.waiters for job in ledger.jobs.values() if job.waiters]
    groups += [job.stream.readers for job in ledger.jobs.values() if job.stream is not None]
    groups += [[*pool.room] for pool in plane.pools.values()]
    for feed in plane.feeds:
        groups += [[*readers] for readers in feed.readers.values()]
        _sure(all(feed.readers.values()), "an empty list of readers")
    shared = [wait.among for wait in ledger.waits.values() if isinstance(wait, SharedWait)]
    groups += [[*among] for among in {id(among): among for among in shared}.values()]
    found = [wait for group in groups for wait in group]
    _sure(all(ledger.waits.get(w.token) is w for w in found), "waits without a token")
    _sure(len(found) == len(ledger.waits), "tokens", len(found), len(ledger.waits))
    for wait in found:
        if wait.executor:
            executor = ledger.executors.get(wait.executor)
            _sure(executor is not None and wait.token in executor.waits, "a dead executor's wait")
        else:
            _sure(wait.caller is None, "parked without an executor", wait.caller)


def _check_costs(costs: Costs) -> None:
    _sure(costs.spent == sum(row.atto for row in costs.rows.values()), "spent", costs.spent)
    _sure(costs.is_exhausted is (costs.spent >= costs.limit), "exhausted", costs.balance)
    _sure(all(row.us >= 0 for row in costs.rows.values()), "less than nothing was used")


def _check_let_go(ledger: Ledger) -> None:
    let_go: deque[Job] = ledger.let_go
    for job in let_go:
        _sure(job.is_final and not job.held, "let go, but alive or held", job)
        _sure(ledger.jobs.get(job.number) is job, "let go and forgotten", job)
    chars = sum(len(job.arguments.data) for job in let_go)
    chars += sum(job.log.size for job in let_go if job.log is not None)
    _sure(chars == ledger.let_go_chars, "characters let go", chars, ledger.let_go_chars)
    unheld = sum(1 for job in ledger.jobs.values() if job.is_final and not job.held)
    _sure(unheld == len(let_go), "ended and unheld, but kept for ever")
    held = {job.number: job for job in ledger.jobs.values() if job.is_final and job.held}
    _sure(held.keys() == ledger.kept.keys(), "ended and held, but not counted")
    nbytes = sum(job.result.nbytes for job in held.values() if job.result is not None)
    _sure(nbytes == ledger.kept_bytes, "bytes kept", nbytes, ledger.kept_bytes)
    _sure(
        all(job.key == key and job.number in ledger.jobs for key, job in ledger.keyed.items()),
        "a key of no job",
    )
    _check_text(ledger.events)


def _check_text(events: EventLog) -> None:
    told = [entry[4]["text"] for entry in events.entries if entry[0] == "job.log" and entry[4]]
    _sure(sum(map(len, told)) == events.chars, "characters told", events.chars)
