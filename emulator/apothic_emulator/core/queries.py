"""Commands that look: at jobs, at what they printed and were given, at what happens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apothic_backends.commands import GetJob, GetJobInput, GetJobLogs, ReadEvents, TellProgress
from apothic_backends.commands.agents import GetOverview
from apothic_backends.model.agents import Overview
from apothic_backends.model.errors import NotFound, UsageError
from apothic_backends.model.events import EventBatch
from apothic_backends.model.jobs import JobInput, JobLogs, JobSnapshot, JobStatus
from apothic_emulator.core.callers import Callers
from apothic_emulator.core.effects import LATER
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.jobs import NO_ARGUMENTS
from apothic_emulator.core.ledger import Ledger
from apothic_emulator.core.logs import JobLog
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.reasons import why
from apothic_emulator.core.shared import Shared
from apothic_emulator.core.watches import Topic, Watches


class Queries:
    """The rules for looking, over the ledger and the pools."""

    def __init__(
        self, ledger: Ledger, pools: Mapping[int, Pool], callers: Callers, shared: Shared
    ) -> None:
        self.ledger = ledger
        self.watches = Watches(ledger, pools, shared)
        self.callers = callers
        self.commands = {
            GetJob: self._job,
            GetJobLogs: self._logs,
            GetJobInput: self._input,
            TellProgress: self._progress,
            ReadEvents: self._read,
            GetOverview: self._overview,
        }

    def _overview(self, command: GetOverview, asked: Asked, now: float) -> Overview:
        from apothic_emulator.core.overview import overview  # few programs ask  # noqa: PLC0415

        part: Any = self.watches.shared.part("queues")
        agents, queues = self.callers.scheduler.agents, part.queues.values()
        return overview(self.ledger, self.callers.pools, agents, queues, most=command.most, now=now)

    def _job(self, command: GetJob, asked: Asked, now: float) -> JobSnapshot:
        job = self.ledger.find(command.job_id)
        seen = self.ledger.look(job)
        agents, costs = self.callers.scheduler.agents, self.ledger.costs
        if job.status is not JobStatus.QUEUED:
            return seen
        if costs.is_exhausted and not job.level:
            return seen.replace(waiting="waits for a top-up: nothing is left of the balance")
        return seen.replace(waiting=why(agents, job, now)) if agents.starved else seen

    def _logs(self, command: GetJobLogs, asked: Asked, now: float) -> JobLogs:
        return (self.ledger.find(command.job_id).log or JobLog()).read(command.attempt)

    def _input(self, command: GetJobInput, asked: Asked, now: float) -> JobInput:
        job = self.ledger.find(command.job_id)
        if job.arguments is NO_ARGUMENTS:
            raise NotFound(
                f"the input of {job.job_id} was not kept: it has {job.nbytes} bytes",
                job_id=job.job_id,
            )
        function = job.function
        names = function.spec.app_name, function.spec.name
        return JobInput(job.job_id, function.function_id, *names, job.arguments)

    def _progress(self, command: TellProgress, asked: Asked, now: float) -> None:
        job = self.callers.job(asked, now)
        if job is None:
            raise UsageError("progress is told by the code of a job that runs")
        told = {"done": command.done, "total": command.total, "message": command.message}
        job.progress = told
        self.ledger.events.append("job.progress", job.number, now, job.attempt, told)

    def _read(self, command: ReadEvents, asked: Asked, now: float) -> Any:
        watches = self.watches
        topic = watches.topic(command)
        events, job, after = topic.feed.events, topic.job, command.after
        limit = max(1, command.limit)
        if after is None and command.snapshot:
            return watches.state(topic)
        if after is None and topic.feed is watches.shared.feed:
            watches.shared.look_for(topic.name)
        if after is None and job is not None:
            after = events.position_at(job.submitted_at)
        if after is not None:
            reset = events.lost(after)
            if reset is not None:
                return watches.after_reset(reset, topic)
            batch = events.read(after, topic.subject or None, limit, topic.wants)
            if batch is not None:
                return batch
        if topic.is_over or command.limit == 0:
            return EventBatch((), events.cursor, ended=topic.is_over)
        self.ledger.check_waits()
        self._wait(topic, asked, limit, now)
        return LATER

    def _wait(self, topic: Topic, asked: Asked, limit: int, now: float) -> None:
        callers, job = self.callers, topic.job
        caller = callers.job(asked, now) if job is not None else None
        sunk = callers.sink(job, caller)
        token, subject = asked.token, topic.subject
        wait = topic.feed.wait(token, subject, job, limit=limit, wants=topic.wants)
        self.ledger.waits[token] = wait
        callers.park(wait, asked, caller, now)
        for pool in sunk:
            callers.scheduler.fill(pool, now)
