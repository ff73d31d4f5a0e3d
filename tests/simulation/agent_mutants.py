"""Planted bugs in what agents and their control plane have agreed."""

from __future__ import annotations

from typing import Any

from apothic_emulator.agent.channel import Channel
from apothic_emulator.agent.outpost import NEVER, Outpost
from apothic_emulator.agent.questions import RemoteRequest
from apothic_emulator.core.agent import Agent
from apothic_emulator.core.agents import Agents
from apothic_emulator.core.costs import Costs
from apothic_emulator.core.executors import Executor, ExecutorStatus
from apothic_emulator.core.far import FarAttempts
from apothic_emulator.core.fleet import Fleet
from apothic_emulator.core.hellos import Welcome
from apothic_emulator.core.jobs import Job
from apothic_emulator.core.scheduler import Scheduler
from tests.simulation.mutants import Mutant, mutant

AGENT_MUTANTS: dict[str, Mutant] = {}


@mutant(Outpost, "fence_at", AGENT_MUTANTS)
def work_goes_on_without_a_lease(right: Any) -> Any:
    return property(lambda self: NEVER)


@mutant(Outpost, "_hold", AGENT_MUTANTS)
def a_job_begins_without_the_word(right: Any, self: Outpost, call: Any) -> None:
    right(self, call)
    mine = self.executors.get(call.executor)
    if mine is not None and call.job in mine.waiting:
        self._begin(type("Go", (), {"executor": call.executor, "job": call.job})(), 0.0)  # type: ignore[arg-type]


@mutant(Channel, "resume", AGENT_MUTANTS)
def what_was_on_its_way_is_not_sent_again(right: Any, self: Channel, taken: int) -> None:
    right(self, taken)
    self._next = len(self._held)


@mutant(FarAttempts, "_lost", AGENT_MUTANTS)
def what_may_have_run_runs_again(
    right: Any, self: FarAttempts, executor: Executor, job: Job, *rest: Any
) -> None:
    self._put_back(job, rest[-1])


@mutant(Fleet, "_match", AGENT_MUTANTS)
def strangers_work_on(right: Any, self: Fleet, *rest: Any) -> Any:
    right(self, *rest)
    return ()


@mutant(FarAttempts, "match", AGENT_MUTANTS)
def all_that_an_agent_has_is_believed_to_have_begun(
    right: Any, self: FarAttempts, executor: Executor, held: Any, now: float
) -> None:
    right(
        self, executor, held.replace(jobs=tuple(j.replace(phase="begun") for j in held.jobs)), now
    )


@mutant(Outpost, "_begin_anew", AGENT_MUTANTS)
def what_was_reported_is_not_reported_again(right: Any, self: Outpost, welcome: Welcome) -> None:
    self._unacked.clear()
    right(self, welcome)


@mutant(Outpost, "_say_again", AGENT_MUTANTS)
def what_code_waits_for_is_not_asked_again(right: Any, self: Outpost, said: Any) -> None:
    self._asked.clear()
    right(self, said)


@mutant(RemoteRequest, "note", AGENT_MUTANTS)
def what_code_asks_again_is_done_again(right: Any, self: RemoteRequest, command: Any) -> Any:
    return command


@mutant(Agent, "takes", AGENT_MUTANTS)
def agents_that_leave_get_more(right: Any, self: Agent, spec: Any) -> bool:
    return self.is_joined


@mutant(Agents, "start", AGENT_MUTANTS)
def numbers_of_executors_are_given_again(
    right: Any, self: Agents, executor: Executor, agent: int
) -> None:
    journal, self.journal = self.journal, None
    right(self, executor, agent)
    self.journal = journal


@mutant(Scheduler, "go", AGENT_MUTANTS)
def the_word_is_said_before_it_is_written_down(
    right: Any, self: Scheduler, executor: Executor, accepted: set[int], job: Job
) -> None:
    kept, job.kept = job.kept, None
    right(self, executor, accepted, job)
    job.kept = kept


@mutant(Fleet, "_cut", AGENT_MUTANTS)
def a_cut_is_taken_for_a_loss(right: Any, self: Fleet, command: Any, *rest: Any) -> None:
    agent = self.agents.far.get(command.agent)
    if agent is not None and agent.session == command.session:
        self._give_up(agent, rest[-1])


@mutant(FarAttempts, "take_unbegun", AGENT_MUTANTS)
def what_has_begun_goes_elsewhere_with_the_first_cut(
    right: Any, self: FarAttempts, executor: Executor, now: float
) -> None:
    for job in executor.line:
        job.started_at = None
    right(self, executor, now)


@mutant(FarAttempts, "match", AGENT_MUTANTS)
def a_cancel_ends_with_the_control_plane_that_was_asked_for_it(
    right: Any, self: FarAttempts, executor: Executor, *rest: Any
) -> None:
    stops = {job: job.stop for job in executor.line}
    for job in stops:
        job.stop = None
    right(self, executor, *rest)
    for job, stop in stops.items():
        job.stop = stop


# --- placement -----------------------------------------------------------------------------------


@mutant(Agents, "holders", AGENT_MUTANTS)
def a_device_is_given_twice(right: Any, self: Agents) -> Any:
    return {
        uuid: [it for it in those if it.status is ExecutorStatus.READY]
        for uuid, those in right(self).items()
    }


@mutant(Agents, "holders", AGENT_MUTANTS)
def whoever_shares_has_as_good_as_nothing(right: Any, self: Agents) -> Any:
    return {
        uuid: [it for it in those if not it.function.spec.gpu_share]
        for uuid, those in right(self).items()
    }


@mutant(Fleet, "_stop_troubled", AGENT_MUTANTS)
def what_has_lost_its_device_goes_on(right: Any, self: Fleet, *rest: Any) -> None: ...


@mutant(Agents, "put", AGENT_MUTANTS)
def devices_are_forgotten_over_a_restart(
    right: Any, self: Agents, executor: Executor, agent: int, gpus: Any = ()
) -> None:
    right(self, executor, agent, () if executor.status is ExecutorStatus.ADRIFT else gpus)


@mutant(Outpost, "_is_free", AGENT_MUTANTS)
def nobody_waits_for_a_device_of_one_that_dies(right: Any, self: Outpost, start: Any) -> bool:
    return True


@mutant(Outpost, "_is_gone", AGENT_MUTANTS)
def who_waits_for_a_device_waits_for_ever(right: Any, self: Outpost, number: int) -> None:
    self._devices.pop(number, None)


@mutant(Agents, "due", AGENT_MUTANTS)
def who_has_become_idle_stands_in_the_way(right: Any, self: Agents, *_: Any) -> list[Executor]:
    return []


@mutant(Agents, "to_free", AGENT_MUTANTS)
def who_is_idle_stands_in_the_way(right: Any, self: Agents, *_: Any) -> list[Executor]:
    return []


@mutant(Agent, "free", AGENT_MUTANTS)
def memory_is_not_counted(right: Any, self: Agent, level: int) -> tuple[float, float]:
    return right(self, level)[0], float(self.capacity.memory_mb)


@mutant(Scheduler, "feed", AGENT_MUTANTS)
def what_has_found_no_place_is_not_looked_at_again(right: Any, self: Scheduler, now: float) -> None:
    pass


# --- costs ---------------------------------------------------------------------------------------


@mutant(Costs, "charge", AGENT_MUTANTS)
def an_attempt_is_charged_twice(right: Any, self: Costs, *rest: Any) -> None:
    right(self, *rest)
    right(self, *rest)


@mutant(Costs, "_held_s", AGENT_MUTANTS)
def an_agent_is_not_believed(
    right: Any, self: Costs, executor: Executor, begun: float, now: float, ran_s: float | None
) -> float:
    return now - begun


@mutant(Costs, "load", AGENT_MUTANTS)
def what_was_charged_is_forgotten(right: Any, self: Costs, rows: Any, *rest: Any) -> None:
    right(self, {}, *rest)


@mutant(Agents, "due", AGENT_MUTANTS)
def idle_executors_wait_for_one_that_ends_beside_them(
    right: Any, self: Agents, executor: Executor
) -> list[Executor]:
    return right(self, executor) if executor.status is ExecutorStatus.READY else []
