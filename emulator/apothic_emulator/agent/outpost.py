"""What an agent has agreed with its control plane: pure, so that a simulation can have thousands.

    control plane ──frames──► take ──► effects, answers ──► executors of this machine
                  ◄─frames─── say  ◄── facts, questions ◄──

A job that is dispatched is kept here, and begins when the control plane has written down that it
does. Whatever was said is kept until it is acknowledged. A control plane that has lost its memory
is told what is here, brings that together with what it has kept, and gets once more what it may
not have taken in; what code here still waits for, it is asked again. If nothing that we said was
acknowledged for as long as a lease lasts, the control plane believes that all work here has
stopped, and so it has to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from apothic_backends.model.record import Record
from apothic_emulator.agent import channel, messages
from apothic_emulator.agent.channel import Channel, ChannelError, Frame
from apothic_emulator.agent.messages import Answer, Ask, Devices, Draining, GaveUp, Give
from apothic_emulator.agent.mine import Mine, each
from apothic_emulator.core.effects import (
    Dispatch,
    DispatchBatch,
    Go,
    Kill,
    Recall,
    StartExecutor,
)
from apothic_emulator.core.facts import (
    Accepted,
    Ended,
    Loaded,
    LoadFailed,
    Printed,
    Produced,
    Recalled,
    Reported,
)
from apothic_emulator.core.hellos import (
    BACK,
    BEGUN,
    DONE,
    Capacity,
    Gpu,
    Join,
    Welcome,
)
from apothic_emulator.core.placement import may_join

NEVER = float("inf")

MARGIN = 0.9
"""The part of a lease after which an agent that was not heard stops its work."""

BEATS = 3
"""How often it says in a lease that it is there."""

_SAID_AGAIN = (Reported, Printed, Ended, LoadFailed)
"""What a control plane that has lost its memory may not know, and cannot see."""


class Outpost:
    """One incarnation of an agent. `carry_out` has something done here, `answer` is for code."""

    def __init__(
        self,
        name: str,
        incarnation: str,
        capacity: Capacity,
        carry_out: Callable[[Record], None],
        answer: Callable[[Answer | Give], None],
        *,
        python: str = "",
        platform: str = "",
        tag: str = "",
    ) -> None:
        self.name, self.incarnation, self.capacity = name, incarnation, capacity
        self.python, self.platform, self.tag = python, platform, tag
        self._carry_out, self._answer = carry_out, answer
        self.channel = Channel()
        self.session: Welcome | None = None
        self.executors: dict[int, Mine] = {}
        self._unacked: deque[tuple[int, Any]] = deque()
        """What was said, with the number of its last frame."""
        self._asked: dict[tuple[int, int], Ask] = {}
        """What code here awaits the replies to, by executors and numbers of requests."""
        self.dying: set[int] = set()
        """Executors that another control plane has left here: their numbers may be given again, so
        nothing is to be taken until they have ended."""
        self.heard_at = -NEVER
        """When something was said that was acknowledged; the latest."""
        self._beats: dict[int, float] = {}
        self._last_beat, self.beat_at = 0, NEVER
        self.is_fenced = False
        self._devices: dict[int, StartExecutor] = {}
        """Executors that have some until they have ended, known to the control plane or not."""
        self._late: dict[int, list[Record]] = {}
        """What is to be done with executors whose devices another one still holds, in order."""
        self.is_draining = False
        """Whether it is about to leave, and wants nothing new."""
        self._found: Devices | None = None
        """What became of its devices since it began."""
        self._told = 0
        """The number of the last that was said before the control plane was told what is here."""
        self._hello_at = 0.0
        """When it was told."""
        self._notes: dict[type, Callable[[Mine, Any], Record | None]] = {
            Loaded: self._loaded,
            Reported: self._reported,
            Produced: self._reported,
            Recalled: self._recalled,
            Ended: self._ended,
            Ask: self._asks,
            GaveUp: self._gave_up,
        }

    # --- sessions -------------------------------------------------------------------------------

    def hello(self, now: float) -> bytes:
        """What is said first on a connection."""
        self._told, self._hello_at = self.channel.last, now
        held = tuple(mine.held(number) for number, mine in self.executors.items())
        before = "" if self.session is None else self.session.channel
        who = self.name, self.incarnation, self.capacity
        join = Join(*who, before, held, self.python, self.platform, self.tag)
        body = messages.to_bytes(join)
        return Frame(channel.HELLO, self.channel.taken, 0, body, channel.VERSION).pack()

    def welcomed(self, frame: Frame, now: float) -> None:
        """The connection is taken: go on, or begin anew with what the control plane has left us.

        Raises:
            ChannelError: that is no welcome to us.
        """
        welcome = messages.from_bytes(frame.body, frozenset({"Welcome"}))
        resumes = welcome.resumes and self.session is not None
        if welcome.resumes is not resumes:
            raise ChannelError("a channel that never was goes on")
        if resumes:
            self.channel.resume(frame.number)
        else:
            self._begin_anew(welcome)
        self.session = welcome
        self.heard_at, self.beat_at = self._hello_at, now
        self._beats.clear()
        self.is_fenced = False

    def _begin_anew(self, welcome: Welcome) -> None:
        said, self._unacked = self._unacked, deque()
        self.channel = Channel()
        for number in welcome.kills:
            mine = self.executors.pop(number, None)
            if mine is not None and not mine.has_ended:
                self.dying.add(number)
                self._pass_on(Kill(number))
        for mine in self.executors.values():
            mine.waiting.clear()
            mine.returning = ()
            mine.jobs = {job: it for job, it in mine.jobs.items() if it[1] != BACK}
        self._say_again(said)
        if self._found is not None:
            self._send(self._found)
        if self.is_draining:
            self._send(Draining())

    def _say_again(self, said: Iterable[tuple[int, Any]]) -> None:
        """Say what the control plane may not know, and ask what it has not answered, in order."""
        self._asked = {key: it for key, it in self._asked.items() if key[0] in self.executors}
        later = {(it.executor, it.request) for _, it in said if isinstance(it, Ask)}
        for key, ask in self._asked.items():
            if key not in later:
                self._send(ask)
        for number, message in said:
            if isinstance(message, Ask):
                is_due = not message.request or (message.executor, message.request) in self._asked
            else:
                is_due = number > self._told or isinstance(message, _SAID_AGAIN)
            if is_due and message.executor in self.executors:
                self._send(message)

    def beat(self, now: float) -> bytes | None:
        """What is said so that the lease does not end, if it is time for that."""
        if self.session is None or now < self.beat_at or self.channel.is_unsent:
            return None
        self._last_beat += 1
        self._beats[self._last_beat] = now
        self.beat_at = now + self.session.lease_s / BEATS
        return Frame(channel.BEAT, self._last_beat, self.channel.done).pack()

    @property
    def fence_at(self) -> float:
        """When all work here has to stop, unless something is acknowledged before."""
        if self.session is None or self.is_fenced:
            return NEVER
        return self.heard_at + self.session.lease_s * MARGIN

    def tick(self, now: float) -> bool:
        """Stop all work if the lease has ended; whether it has just done so."""
        if now < self.fence_at:
            return False
        self.is_fenced = True
        for number, mine in self.executors.items():
            if not mine.has_ended:
                self._pass_on(Kill(number))
        return True

    # --- what is said to us ---------------------------------------------------------------------

    def take(self, frame: Frame, now: float) -> None:
        """A frame of this session.

        Raises:
            ChannelError: it cannot have come.
        """
        message = self.channel.take(frame)
        self._forget()
        if frame.kind == channel.BEAT:
            self.heard_at = max(self.heard_at, self._beats.pop(frame.number, -NEVER))
        if message is not None:
            self._do(messages.from_bytes(message, messages.DOWN), now)
        self.channel.finish(self.channel.taken)

    def _do(self, message: Record, now: float) -> None:
        match message:
            case StartExecutor():
                self.executors[message.executor] = Mine(message.function)
            case Dispatch() | DispatchBatch():
                self._hold(message)
                return
            case Go():
                self._begin(message, now)
                return
            case Recall():
                mine = self.executors.get(message.executor)
                if mine is not None:
                    mine.returning += mine.take_back()
            case Answer():
                self._asked.pop((message.executor, message.request), None)
                self._answer(message)
                return
            case _:
                pass
        self._pass_on(message)

    def _pass_on(self, message: Any) -> None:
        """Have something done, once the executor that it is for may start."""
        number: int = message.executor
        late = self._late.get(number)
        if late is not None:
            late.append(message)
        elif isinstance(message, StartExecutor) and not self._is_free(message):
            self._late[number] = [message]
        elif isinstance(message, Give):
            self._answer(message)
        else:
            if isinstance(message, StartExecutor) and message.gpus:
                self._devices[number] = message
            self._carry_out(message)

    def _is_free(self, start: StartExecutor) -> bool:
        """Whether nobody has its devices who does not share them with it.

        A process that was killed has its own till it is gone.
        """
        known = {gpu.uuid: gpu for gpu in self.capacity.gpus}
        for uuid in start.gpus:
            holders = [one.spec for one in self._devices.values() if uuid in one.gpus]
            if holders and not may_join(start.spec, known.get(uuid, Gpu(uuid)), holders):
                return False
        return True

    def _is_gone(self, number: int) -> None:
        """An executor has ended: its devices are free for those that wait for them."""
        if self._devices.pop(number, None) is None:
            return
        for late, messages_for in list(self._late.items()):
            start: Any = messages_for[0]
            if self._is_free(start):
                del self._late[late]
                for message in messages_for:
                    self._pass_on(message)

    def _hold(self, call: Dispatch | DispatchBatch) -> None:
        """A call may be for us: it begins at the word, and goes back if its executor has ended."""
        mine = self.executors.get(call.executor)
        if mine is None or mine.has_ended:
            return  # the control plane is about to hear that, and knows what has not begun
        job, attempt = next(iter(each(call)))
        mine.waiting[job] = call
        self._send(Accepted(call.executor, job, attempt))

    def _begin(self, go: Go, now: float) -> None:
        mine = self.executors.get(go.executor)
        call = mine.waiting.pop(go.job, None) if mine is not None else None
        if mine is not None and call is not None:
            mine.jobs.update((job, (attempt, BEGUN)) for job, attempt in each(call))
            mine.begun_at.update((job, now) for job, _ in each(call))
            self._carry_out(call)

    # --- what we say ----------------------------------------------------------------------------

    def say(self, fact: Any, now: float) -> None:
        """Tell what has happened here."""
        if fact.__class__ is Ended:
            self._is_gone(fact.executor)
            self.dying.discard(fact.executor)
        mine = self.executors.get(fact.executor)
        if mine is None or mine.has_ended:
            return
        note = self._notes.get(fact.__class__)
        told = fact if note is None else note(mine, fact)
        if isinstance(told, Reported):
            told = told.replace(ran_s=now - mine.begun_at.pop(told.job))
        if told is not None:
            self._send(told)

    @staticmethod
    def _loaded(mine: Mine, fact: Loaded) -> Loaded:
        mine.is_loaded = True
        return fact

    def _reported(self, mine: Mine, fact: Reported | Produced) -> Reported | Produced | None:
        """A job has an outcome, or an item, if it is one that its executor can have."""
        if mine.jobs.get(fact.job) != (fact.attempt, BEGUN):
            mine.is_liar = True
            self._carry_out(Kill(fact.executor))
            return None
        if isinstance(fact, Reported):
            mine.jobs[fact.job] = fact.attempt, DONE
        return fact

    def _asks(self, mine: Mine, fact: Ask) -> Ask:
        if fact.request:
            self._asked[fact.executor, fact.request] = fact
        return fact

    def _gave_up(self, mine: Mine, fact: GaveUp) -> GaveUp:
        self._asked.pop((fact.executor, fact.request), None)
        return fact

    def _recalled(self, mine: Mine, fact: Recalled) -> Recalled:
        """Add what was taken back here."""
        back, mine.returning = mine.returning, ()
        mine.give_back(fact.jobs)
        return Recalled(fact.executor, (*fact.jobs, *back))

    def _ended(self, mine: Mine, fact: Ended) -> Ended:
        """Add what never began, and whether it was killed for a lie."""
        mine.has_ended = True
        mine.give_back(fact.unstarted)
        back = (*mine.returning, *mine.take_back())
        for key in [key for key in self._asked if key[0] == fact.executor]:
            del self._asked[key]
        reason = "protocol" if mine.is_liar else fact.reason
        ended: Ended = fact.replace(unstarted=(*fact.unstarted, *back), reason=reason)
        return ended

    def found(self, devices: Devices) -> None:
        """The devices here are not those, or not as well, as was said when it joined."""
        self._found = devices
        self.capacity = self.capacity.replace(gpus=devices.gpus)
        if self.session is not None:
            self._send(devices)

    def drain(self) -> None:
        """Ask for nothing new: executors end, each after what it runs."""
        self.is_draining = True
        if self.session is not None:
            self._send(Draining())

    @property
    def is_empty(self) -> bool:
        """Whether nothing runs here, and the control plane knows that."""
        return not self.executors and not self.dying

    def _send(self, message: Any) -> None:
        self._unacked.append((self.channel.send([messages.to_bytes(message)]), message))

    def _forget(self) -> None:
        """Let go of what the control plane has."""
        while self._unacked and self._unacked[0][0] <= self.channel.acked:
            _, message = self._unacked.popleft()
            mine = self.executors.get(message.executor)
            if mine is None:
                continue
            if isinstance(message, Ended):
                del self.executors[message.executor]
            elif isinstance(message, Reported):
                mine.forget((message.job,), DONE)
            elif isinstance(message, Recalled):
                mine.forget(message.jobs, BACK)
