"""That nobody waits for what is held for as long as somebody waits: GPUs, and objects with a name.

A job that waits lends its cores to the jobs below it, but not its GPUs: what it has put there stays
there; nor the one process of an object. So a call that holds the last GPU and waits for another one
that needs it, or a method that calls its own object, would wait for ever, by itself or in a ring
with others. That is told when a wait would close such a ring:

    stuck at first:  whoever waits for a job, and every job that is waited for in a queue
    goes on:         who waits for nothing that is stuck;
                     who finds a place in an executor of its function beside those that are;
                     whose function, if it is no object's, may use another executor, as too few are
                     full of those whose places are not lent: one that there is, or one that finds
                     enough devices which are free, or held where nobody is stuck
    and so on, until nothing goes on any more: what is left waits for itself.

A machine that may come later does not count: nobody knows whether it will.
"""

from __future__ import annotations

from collections.abc import Mapping

from apothic_backends.model.errors import SlotDeadlock
from apothic_emulator.core.agent import Holders, open_gpus
from apothic_emulator.core.agents import Agents
from apothic_emulator.core.executors import Executor
from apothic_emulator.core.jobs import Job
from apothic_emulator.core.ledger import Ledger
from apothic_emulator.core.placement import devices, pick
from apothic_emulator.core.pools import Pool

Waits = dict[int, list[Job]]
"""What each job waits for, by its number."""


class Standstill:
    """The rule, over the ledger, the pools and the machines."""

    def __init__(self, ledger: Ledger, pools: Mapping[int, Pool], agents: Agents) -> None:
        self.ledger = ledger
        self.pools = pools
        self.agents = agents

    def check(self, job: Job, caller: Job) -> None:
        """See to it that a job can end while that caller waits for it.

        Raises:
            SlotDeadlock: it needs GPUs or an object, or waits for a job that does, and those are
                held until then.
        """
        if not self.agents.has_gpus and not self._has_objects:
            return
        waits = self._waits()
        waits.setdefault(caller.number, []).append(job)
        stuck = self._stuck(waits, {job.number: caller.level + 1})
        queued = [it for it in stuck.values() if it.number not in waits]
        needs = next((it for it in queued if it.function.spec.gpu_count or self._is_lone(it)), None)
        if job.number in stuck and needs is not None:  # else it waits for itself: `levels.py`
            raise SlotDeadlock(
                f"{caller.job_id} would wait for ever: {needs.job_id} "
                f"({needs.function.spec.name}) {self._what_for(needs)}",
                level=caller.level + 1,
            )

    @property
    def _has_objects(self) -> bool:
        """Whether there is a process that is the only one which may take some calls."""
        return any(executor.is_spared for executor in self.ledger.executors.values())

    def _is_lone(self, job: Job) -> bool:
        return self.pools[job.function.number].is_lone

    def _what_for(self, job: Job) -> str:
        if self._is_lone(job):
            return (
                "is for an object that is busy with calls which wait for it. Call the method as it "
                "is, use spawn() and return the job, or let @concurrent take several calls"
            )
        return (
            f"needs {devices(job.function.spec)}, held by calls that wait for it. Use spawn() and "
            "return the job, or give it more GPUs"
        )

    def _waits(self) -> Waits:
        waits: Waits = {}
        for executor in self.ledger.executors.values():
            for wait in executor.waits.values() if executor.parked else ():
                if wait.caller is not None and wait.awaited is not None:
                    waits.setdefault(wait.caller.number, []).append(wait.awaited)
        return waits

    def _stuck(self, waits: Waits, levels: Mapping[int, int]) -> dict[int, Job]:
        """Those who can never go on; some are to sink to these levels at least."""
        awaited = [job for jobs in waits.values() for job in jobs]
        stuck = {job.number: job for job in awaited if self._is_in_need(job)}
        stuck |= {number: self.ledger.jobs[number] for number in waits}
        while True:
            held = self._held(stuck)
            going = [it for it in stuck.values() if self._goes_on(it, waits, levels, stuck, held)]
            if not going:
                return stuck
            for job in going:
                del stuck[job.number]

    def _is_in_need(self, job: Job) -> bool:
        """Whether a job waits in a queue for what there is."""
        spec = job.function.spec
        is_queued = not job.is_final and not job.executor
        return is_queued and (not spec.gpu_count or self.agents.could_ever(spec))

    def _held(self, stuck: Mapping[int, Job]) -> Holders:
        """Who does not give back which devices while these are stuck."""
        return {
            uuid: [one for one in those if any(job.number in stuck for job in one.line)]
            for uuid, those in self.agents.holders().items()
        }

    def _goes_on(
        self,
        job: Job,
        waits: Waits,
        levels: Mapping[int, int],
        stuck: Mapping[int, Job],
        held: Holders,
    ) -> bool:
        if job.number in waits:
            return not any(it.number in stuck for it in waits[job.number])
        level = max(job.level, levels.get(job.number, 0))
        return self._finds_place(job, level, stuck, held)

    def _finds_place(self, job: Job, level: int, stuck: Mapping[int, Job], held: Holders) -> bool:
        executors = self.pools[job.function.number].executors.values()
        full = [one for one in executors if _is_full_of(stuck, one)]
        others = [one for one in executors if one not in full]
        if any(it.number in stuck for one in others for it in one.line):
            return True  # beside those that are stuck
        if full and self._is_lone(job):
            return False
        spec = job.function.spec
        taken = [one for one in full if not one.is_lent(level)]
        if len(taken) >= spec.max_containers:
            return False  # whatever becomes of the others
        if others:
            return True
        return not self.agents.wants_gpus(spec) or any(
            pick(spec, open_gpus(agent, spec, held)) is not None
            for agent in self.agents.machines(spec)
        )


def _is_full_of(stuck: Mapping[int, Job], executor: Executor) -> bool:
    return sum(job.number in stuck for job in executor.line) >= executor.slots
