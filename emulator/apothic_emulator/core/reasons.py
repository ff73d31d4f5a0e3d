"""Why a job has found no place, and who has taken what: for people."""

from __future__ import annotations

from collections.abc import Sequence

from apothic_backends.model.agents import AgentSnapshot, GpuSnapshot, PythonMismatch
from apothic_backends.model.errors import NoMachine
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.jobs import ErrorInfo
from apothic_emulator.core.agent import Agent, Holders
from apothic_emulator.core.agents import Agents
from apothic_emulator.core.jobs import NEVER, Job
from apothic_emulator.core.placement import listed, suits, unmet, wish

_MOST_NAMED = 5

_WAY_OUT = "Ask for less, or run it where there is such a machine"
_WAYS_OUT = (
    f"{_WAY_OUT}. APOTHIC_ON_MISSING_GPU=cpu (--on-missing-gpu cpu) runs it without GPUs, slowly; "
    "=fake makes devices up, to try where it would run"
)


def why(agents: Agents, job: Job, now: float) -> str:
    """For what a queued job waits, if that is for a place."""
    pool = agents.starved.get(job.function.number)
    if pool is None or job not in pool.queue:
        return ""
    coming = "" if agents.market is None else agents.market.why(job.function.number, now)
    told = _why(agents, job)
    return f"{coming}; {told}" if coming else told


def _why(agents: Agents, job: Job) -> str:
    spec = job.function.spec
    joined = [agent for agent in agents.machines(spec) if agent.is_joined]
    able = [agent for agent in joined if agent.could_ever(spec)]
    if agents.is_looking and spec.gpu_count and not able:
        return "waits until it is known which GPUs this machine has"
    if not able:
        there = "; ".join(map(_total, joined[:_MOST_NAMED])) or "none"
        lacks = _lacks(agents, spec)
        return f"waits for an agent that has {wish(spec)}; there are: {there}{lacks}"
    return _taken(agents, able, spec) or (
        f"waits for {wish(spec)}; free: "
        + "; ".join(_free(agent, job.level) for agent in able[:_MOST_NAMED])
    )


def _taken(agents: Agents, able: Sequence[Agent], spec: FunctionSpec) -> str:
    """The same for what waits for a GPU, if those are the reason."""
    if not spec.gpu_count:
        return ""
    held = agents.holders()
    suiting = {gpu.uuid for agent in able for gpu in agent.capacity.gpus if suits(spec, gpu)}
    taken = [uuid for uuid in suiting if uuid in held]
    if not taken:
        return ""
    what = "a GPU" if spec.gpu_count == 1 else f"{spec.gpu_count} GPUs"
    models = " or ".join(spec.gpu) or "GPUs"
    where = ", ".join(agent.name for agent in able[:_MOST_NAMED])
    return f"waits for {what}: {len(taken)} of {len(suiting)} {models} on {where} are taken"


def _total(agent: Agent) -> str:
    cpu, memory_mb, gpus = agent.capacity.cpu, agent.capacity.memory_mb, agent.capacity.gpus
    room = f"{cpu:g} cores, {memory_mb} MB, " if cpu < NEVER else ""
    return f"{agent.name} with {room}{listed(gpus)}"


def _free(agent: Agent, level: int) -> str:
    cpu, memory_mb = agent.free(level)
    return f"{cpu:g} cores and {memory_mb:g} MB on {agent.name}"


def error_of(agents: Agents, spec: FunctionSpec) -> ErrorInfo:
    """The error of a job that nothing here could ever run."""
    there = "; ".join(map(_total, agents.machines(spec)))
    reason = f" ({agents.without_gpus})" if agents.without_gpus else ""
    lacks = _lacks(agents, spec)
    return ErrorInfo(
        NoMachine.code,
        f"{spec.name!r} needs {wish(spec)}, and no machine here has that: {there}{reason}{lacks}. "
        f"{_WAYS_OUT if spec.gpu_count and agents.has_home else _WAY_OUT}",
        data={"gpu": list(spec.gpu), "gpu_count": spec.gpu_count, "min_vram_gb": spec.min_vram_gb},
    )


def _lacks(agents: Agents, spec: FunctionSpec) -> str:
    """Which conditions of a function machines and their devices do not meet."""
    found: dict[str, list[str]] = {}
    if agents.has_home:
        found[agents.home.name] = agents.home.lacks(spec)
    for agent in agents.machines(spec):
        found[agent.name] = agent.lacks(spec)
        for gpu in agent.capacity.gpus if spec.gpu_count else ():
            found[gpu.name] = unmet(spec, gpu)
    told = [f"; not {name}: {', '.join(reasons)}" for name, reasons in found.items() if reasons]
    return "".join(told[:_MOST_NAMED])


def mismatch(strangers: Sequence[Agent], spec: FunctionSpec) -> ErrorInfo:
    """The error of a job whose code none of the machines that there are can load."""
    told = {_stranger(agent): agent.python for agent in strangers}
    there = ", ".join(f"{name} has Python {python}" for name, python in told.items())
    return ErrorInfo(
        PythonMismatch.code,
        f"{spec.name!r} was pickled under Python {spec.python}, and no machine has that: {there}. "
        f"Start an agent under Python {spec.python}, call it from a program under another, or put "
        "it into a module: then it is found by its name",
        data={"python": spec.python, "machines": told},
    )


def _stranger(agent: Agent) -> str:
    return f"{agent.name} ({agent.platform})" if agent.platform else agent.name


def _holder(held: Holders, uuid: str) -> str:
    specs = [executor.function.spec for executor in held.get(uuid, ())]
    return ", ".join(dict.fromkeys(f"{spec.app_name}/{spec.name}" for spec in specs))


def snapshot(agents: Agents, agent: Agent) -> AgentSnapshot:
    """An agent, and what executors have taken of it."""
    cpu, memory_mb = agent.free(0)
    total = agent.capacity
    return AgentSnapshot(
        agent.name,
        "joined" if agent.is_joined else "lost" if agent.is_given_up else "cut",
        total.cpu,
        total.memory_mb,
        total.cpu - cpu,
        total.memory_mb - memory_mb,
        len(agent.executors),
        gpus_of(agents, agent),
    )


def gpus_of(agents: Agents, agent: Agent) -> tuple[GpuSnapshot, ...]:
    """The devices of a machine, and who has them."""
    held = agents.holders()
    return tuple(
        GpuSnapshot(
            gpu.uuid,
            gpu.name,
            gpu.memory_mb,
            _holder(held, gpu.uuid),
            gpu.parent,
            gpu.is_unified,
            gpu.trouble,
        )
        for gpu in agent.capacity.gpus
    )
