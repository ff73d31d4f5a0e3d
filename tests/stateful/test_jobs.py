from __future__ import annotations

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from apothic_backends.commands import (
    CancelJob,
    KeepJob,
    ReadEvents,
    RegisterFunction,
    ReleaseJob,
    RunJob,
    SubmitJob,
    WaitJob,
)
from apothic_backends.model.functions import BatchPolicy, FunctionSpec, RetryPolicy
from apothic_backends.model.jobs import ErrorInfo, JobOutcome
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.batches import BATCH_RAISED
from apothic_emulator.core.check import check
from apothic_emulator.core.effects import (
    Dispatch,
    DispatchBatch,
    Kill,
    Recall,
    Retire,
    StartExecutor,
)
from apothic_emulator.core.facts import (
    Asked,
    Ended,
    GivenUp,
    Input,
    Loaded,
    LoadFailed,
    Origin,
    Recalled,
    Reported,
    Tick,
)
from apothic_emulator.core.plane import Plane

TIMEOUT_S = 2.0
RAISED = ErrorInfo("user_error", "boom")
MOMENTS = [0.0, 0.001, 0.005, 0.1, 0.5, 1.0, TIMEOUT_S, 5.0, 60.0]
NUMBERS = st.integers(1, 12)


class Jobs(RuleBasedStateMachine):
    """Clients, and executors whose packets lie in `sockets` until a rule receives them."""

    @initialize(
        slots=st.sampled_from([1, 1, 2]),
        most=st.sampled_from([1, 2]),
        retries=st.sampled_from([0, 1]),
    )
    def open(self, slots: int, most: int, retries: int) -> None:
        self.plane = Plane("here")
        self.now = 0.0
        self.token = 0
        self.sockets: dict[int, list[list[tuple[int, int]]]] = {}
        self.received: dict[int, list[tuple[int, int]]] = {}
        self.retries = retries
        self.begun: dict[int, int] = {}
        self.final: dict[str, str] = {}
        spec = FunctionSpec("app", "a", TIMEOUT_S, RetryPolicy(retries, 0.5), slots, 4, most, 1)
        batches = spec.replace(name="c", concurrent_requests=1, batch=BatchPolicy(3, 0.05))
        for each in (spec, spec.replace(name="b"), batches):
            self.ask(RegisterFunction(each, Payload(each.name.encode())))

    def step(self, *inputs: Input) -> None:
        outcome = self.plane.step(inputs, self.now)
        for _, value, _ in outcome.replies:
            if isinstance(value, JobOutcome):
                first = self.final.setdefault(value.job_id, value.status.value)
                assert first == value.status.value
        recalls: list[int] = []
        for effect in outcome.effects:
            match effect:
                case StartExecutor():
                    self.sockets[effect.executor] = []
                    self.received[effect.executor] = []
                case Dispatch():
                    self.sockets[effect.executor].append([(effect.job, effect.attempt)])
                case DispatchBatch():
                    assert len(effect.jobs) <= 3
                    batch = [(each.job, each.attempt) for each in effect.jobs]
                    self.sockets[effect.executor].append(batch)
                case Recall():
                    recalls.append(effect.executor)
                case _:
                    pass
        self.owed = [*getattr(self, "owed", []), *recalls]
        self.ending = {e.executor for e in outcome.effects if isinstance(e, Kill | Retire)}
        check(self.plane)

    def ask(self, command: object, origin: Origin | None = None) -> None:
        self.token += 1
        self.step(Asked(command, self.token, origin))  # type: ignore[arg-type]

    # --- fine rules -----------------------------------------------------------------------------

    @rule(function=st.sampled_from([1, 2, 3, 3]), waits=st.booleans())
    def submit(self, function: int, waits: bool) -> None:
        self.ask(SubmitJob(f"functions:{function}", Payload(b"x"), waits))

    @rule(job=NUMBERS, last=st.booleans())
    def wait(self, job: int, last: bool) -> None:
        self.ask(WaitJob(f"jobs:{job}", last=last))

    @rule(job=NUMBERS)
    def cancel(self, job: int) -> None:
        self.ask(CancelJob(f"jobs:{job}"))

    @rule(job=NUMBERS)
    def release(self, job: int) -> None:
        self.ask(ReleaseJob(f"jobs:{job}"))

    @rule(job=st.sampled_from(["jobs", "jobs:1", "jobs:2"]))
    def read(self, job: str) -> None:
        self.ask(ReadEvents(job))

    @rule(back=st.integers(0, 5))
    def give_up(self, back: int) -> None:
        self.step(GivenUp(self.token - back))

    @rule(function=st.sampled_from([1, 2]))
    def run(self, function: int) -> None:
        self.ask(RunJob(f"functions:{function}", Payload(b"x"), wait_for_room=True))

    @rule(job=NUMBERS)
    def keep(self, job: int) -> None:
        self.ask(KeepJob(f"jobs:{job}"))

    @rule(
        executor=NUMBERS, function=st.sampled_from([1, 2]), owned=st.booleans(), waits=st.booleans()
    )
    def call(self, executor: int, function: int, owned: bool, waits: bool) -> None:
        if self.received.get(executor):
            origin = Origin(executor, self.received[executor][0][0])
            name = f"functions:{function}"
            kind = RunJob if owned else SubmitJob
            self.ask(kind(name, Payload(b"x"), waits), origin)

    @rule(executor=NUMBERS, job=NUMBERS)
    def wait_inside(self, executor: int, job: int) -> None:
        if self.received.get(executor):
            origin = Origin(executor, self.received[executor][0][0])
            self.ask(WaitJob(f"jobs:{job}", owned=True), origin)

    @rule(executor=NUMBERS)
    def load(self, executor: int) -> None:
        self.step(Loaded(executor))

    @rule(executor=NUMBERS)
    def fail_to_load(self, executor: int) -> None:
        self.step(LoadFailed(executor, ErrorInfo("setup_failed", "no module")))

    @rule(executor=NUMBERS)
    def receive(self, executor: int) -> None:
        known = self.plane.ledger.executors.get(executor)
        if known is None or not known.loaded or not self.sockets.get(executor):
            return
        is_free = not known.takes_batches or not self.received[executor]
        if is_free and len(self.received[executor]) < known.slots:
            for job, attempt in self.sockets[executor].pop(0):
                self.received[executor].append((job, attempt))
                self.begun[job] = self.begun.get(job, 0) + 1
                may_repeat = self.retries or known.takes_batches  # whose members are run alone
                assert may_repeat or self.begun[job] == 1, "began twice without retries"

    @rule(executor=NUMBERS, fails=st.booleans(), retire=st.booleans())
    def report(self, executor: int, fails: bool, retire: bool) -> None:
        if self.received.get(executor):
            job, attempt = self.received[executor].pop()
            result, error = (None, RAISED) if fails else (Payload(b"r"), None)
            self.step(Reported(executor, job, attempt, result, error, retire))

    @rule(executor=NUMBERS)
    def fail_together(self, executor: int) -> None:
        """The call for a batch raised: nobody knows whose fault it was."""
        known = self.plane.ledger.executors.get(executor)
        if known is not None and known.takes_batches and len(self.received[executor]) > 1:
            failed, self.received[executor] = self.received[executor], []
            error = ErrorInfo(BATCH_RAISED, "boom")
            self.step(*(Reported(executor, j, a, None, error) for j, a in failed))

    @rule(executor=NUMBERS, job=NUMBERS, attempt=st.integers(1, 3))
    def forge(self, executor: int, job: int, attempt: int) -> None:
        self.step(Reported(executor, job, attempt, Payload(b"forged")))

    @precondition(lambda self: bool(getattr(self, "owed", None)))
    @rule()
    def recall(self) -> None:
        executor = self.owed.pop(0)
        packets, self.sockets[executor] = self.sockets[executor], []
        self.step(Recalled(executor, tuple(job for packet in packets for job, _ in packet)))

    @rule(executor=NUMBERS, reason=st.sampled_from(["signal", "exit", "start", "protocol"]))
    def end(self, executor: int, reason: str) -> None:
        is_possible = reason != "start" or not self.received.get(executor)
        if executor in self.plane.ledger.executors and is_possible:
            unstarted = tuple(job for packet in self.sockets[executor] for job, _ in packet)
            self.sockets[executor], self.received[executor] = [], []
            self.owed = [other for other in self.owed if other != executor]
            self.step(Ended(executor, reason, unstarted, signal=9))

    @rule(seconds=st.sampled_from(MOMENTS))
    def wait_s(self, seconds: float) -> None:
        self.now += seconds
        self.step(Tick())

    # --- coarse rules ---------------------------------------------------------------------------

    @rule()
    def settle(self) -> None:
        """Everything that is under way arrives, and every job that can finish does."""
        for _ in range(30):
            for executor in list(self.plane.ledger.executors):
                self.load(executor)
                self.receive(executor)
                self.report(executor, fails=False, retire=False)
            while self.owed:
                self.recall()
            self.wait_s(0.005)

    @rule()
    def start_over(self) -> None:
        """Every process dies, and the jobs that may go on do."""
        for executor in list(self.plane.ledger.executors):
            self.end(executor, "signal")
        self.settle()

    @invariant()
    def nothing_is_due(self) -> None:
        if hasattr(self, "plane"):
            assert self.plane.ledger.payload_bytes >= 0

    def teardown(self) -> None:
        """Whatever happened, everything ends when everything is healed."""
        if not hasattr(self, "plane"):
            return
        for _ in range(12):
            self.wait_s(5.0)
            self.start_over()
        left = [job for job in self.plane.ledger.jobs.values() if not job.is_final]
        assert left == []
        assert self.plane.ledger.payload_bytes == 0


TestJobs = Jobs.TestCase
TestJobs.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, report_multiple_bugs=False
)
