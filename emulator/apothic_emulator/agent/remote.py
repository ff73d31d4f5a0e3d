"""The host's end of agents on other machines: what is for them, and what they say.

`Fleet` stands in for the agent of this machine from the first that joins: it hands each effect to
the one that it is for. `RemoteAgent` outlives connections; what it is to be told waits in its
channel. What an agent has said is acknowledged once it is durable, for which a `Heard` waits that
goes through the core after it.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from apothic_backends.model.agents import StaleSession
from apothic_backends.model.errors import ApothicError
from apothic_backends.model.record import Record
from apothic_emulator.agent import channel, messages
from apothic_emulator.agent.channel import Channel, Frame
from apothic_emulator.agent.messages import Ask, Devices, Dial, Draining, GaveUp, Give
from apothic_emulator.agent.questions import Beside, Post, Questions
from apothic_emulator.core.effects import (
    Attach,
    Detach,
    Dispatch,
    DispatchBatch,
    Effect,
    StartExecutor,
    sent,
)
from apothic_emulator.core.facts import Asked, Ended, Refused
from apothic_emulator.core.hellos import Drain, GpusFound, Heard
from apothic_emulator.unheard import Unheard


class RemoteAgent:
    """One agent, connected or not."""

    def __init__(
        self, number: int, post: Post, beside: Beside, where: dict[int, RemoteAgent]
    ) -> None:
        self.number = number
        self._where = where
        """On which agent executors are, of all of them."""
        self.session = 0
        """The number of the connection that counts."""
        self._post = post
        self._beside = beside
        self._lock = threading.Lock()
        self._channel = Channel()
        self._name = ""
        """Of the channel."""
        self._urgent: deque[bytes] = deque()
        self._ring: Callable[[], object] = _nobody
        """Has whoever writes look again."""
        self._specs: dict[int, Any] = {}
        """What is known of its executors, by their numbers."""
        self._versions: dict[int, Any] = {}
        """Of the secrets that they have."""
        self._questions = questions = Questions(self._lock, post, beside)
        questions.send, questions.ring = self._send, self.flush

    # --- down -----------------------------------------------------------------------------------

    def attach(self, effect: Attach) -> None:
        """Go on with a channel, or begin a new one."""
        if effect.channel != self._name or not effect.resumes:
            with self._lock:
                self._channel, self._name = Channel(), effect.channel
                self._questions.clear()
                for number in self._specs.keys() - set(effect.executors):
                    self._bury(number)
                for number in effect.executors:
                    self._specs.setdefault(number, None)
                    self._where[number] = self

    def carry_out(self, effect: Effect) -> None:
        """Have something done there; `flush` sends it."""
        number = effect.executor
        if isinstance(effect, (Dispatch, DispatchBatch)) and self._is_stale(number):
            self._post(Refused(number, sent(effect)))
            return
        if isinstance(effect, StartExecutor):
            self._specs[number] = effect.spec
        self.tell(effect)
        if isinstance(effect, StartExecutor) and effect.spec.needs:
            give = threading.Thread(
                target=self._give, args=(number, effect.spec), name="apothic-secrets", daemon=True
            )
            give.start()

    def _is_stale(self, number: int) -> bool:
        """Whether an executor has secrets that have changed since."""
        version = self._versions.get(number)
        if version is None:
            return False
        spec = self._specs[number]
        if spec.cls is not None and spec.cls.is_sandbox:
            return False  # it has those that it began with
        return bool(version != self._beside.delivery.safe.version(spec.needs))

    def _give(self, number: int, spec: Any) -> None:
        """Send an executor its secrets, as soon as they are found."""
        safe = self._beside.delivery.safe
        try:
            while True:
                given = safe.give(spec)
                self._versions[number] = given.version
                if given.version == safe.version(spec.needs):
                    break
            told = Give(number, json.dumps([given.values, given.keys]).encode())
        except ApothicError as error:
            told = Give(number, b"", messages.error_to_bytes(error))
        self.tell(told)
        self.flush()

    def tell(self, message: Record) -> None:
        """Have a message sent; `flush` sends it."""
        body = messages.to_bytes(message)
        with self._lock:
            self._channel.send([body])

    def _send(self, message: Record) -> int:
        return self._channel.send([messages.to_bytes(message)])

    def flush(self) -> None:
        """Send what waits."""
        self._ring()

    def next_frame(self, session: int) -> bytes | None:
        """What is to be written next in a session; None if nothing is."""
        with self._lock:
            if session != self.session:
                return None
            return self._urgent.popleft() if self._urgent else self._channel.next_frame()

    # --- up -------------------------------------------------------------------------------------

    def begin(self, session: int, taken: int, ring: Callable[[], object]) -> int:
        """A connection is there; gives the number of the last frame that we have.

        Raises:
            ChannelError: the agent cannot have that.
        """
        with self._lock:
            self.session = session
            self._urgent.clear()
            self._channel.resume(taken)
            self._ring, before = ring, self._ring
            here = self._channel.taken
        before()  # its connection has ended
        return here

    def received(self, session: int, frame: Frame) -> None:
        """A frame has come; the caller has the core stepped.

        Raises:
            ChannelError: it cannot have come.
            StaleSession: not in this session.
        """
        with self._lock:
            if session != self.session:
                raise StaleSession("this session has ended: another connection has taken over")
            message = self._channel.take(frame)
            self._questions.acknowledged(self._channel.acked)
            if message is not None:
                self._hear(messages.from_bytes(message, messages.UP))
            is_beat = frame.kind == channel.BEAT
            if message is not None or is_beat:
                token = Heed(self, session, self._channel.taken, frame.number if is_beat else 0)
                heard: Any = Heard(self.number, session, is_beat)
                self._post(Asked(heard, token))

    def _hear(self, message: Any) -> None:
        if isinstance(message, Draining):
            leaving: Any = Drain(self.number, self.session)
            self._post(Asked(leaving, Unheard()))
            return
        if isinstance(message, Devices):
            found: Any = GpusFound(message.gpus, message.reason, self.number, self.session)
            self._post(Asked(found, Unheard()))
            return
        number: int = message.executor
        if number not in self._specs:
            return  # it was given up
        if isinstance(message, Ask):
            self._questions.ask(message)
        elif isinstance(message, GaveUp):
            self._questions.gave_up(number, message.request)
        else:
            if isinstance(message, Ended):
                self._bury(number)
            self._post(message)

    def _bury(self, number: int) -> None:
        self._specs.pop(number, None)
        self._where.pop(number, None)
        self._versions.pop(number, None)
        self._questions.bury(number)

    def heeded(self, session: int, number: int, beat: int) -> None:
        """All that was said up to that number is durable."""
        with self._lock:
            if session == self.session:
                self._channel.finish(number)
                if beat:
                    self._urgent.append(Frame(channel.BEAT, beat, self._channel.done).pack())
        self._ring()

    def hang_up(self, session: int) -> None:
        """End a connection, unless there is another one already."""
        with self._lock:
            if session == self.session:
                self.session = 0
        self._ring()


class Heed:
    """Awaits that what an agent has said is durable."""

    __slots__ = ("_agent", "_beat", "_number", "_session", "done")

    def __init__(self, agent: RemoteAgent, session: int, number: int, beat: int) -> None:
        self._agent, self._session = agent, session
        self._number, self._beat = number, beat
        self.done = False

    def complete(self, value: object) -> bool:
        """It is."""
        self._agent.heeded(self._session, self._number, self._beat)
        return True

    def fail(self, error: BaseException) -> bool:
        """The session does not count any more, or nothing does."""
        self._agent.hang_up(self._session)
        return True


class Fleet:
    """All agents of a host; what is for none of them is for `home`."""

    def __init__(self, home: Any, post: Post) -> None:
        self.home = home
        self.agents: dict[int, RemoteAgent] = {}
        self._post = post
        self._where: dict[int, RemoteAgent] = {}

    def carry_out(self, effect: Effect, touched: set[Any]) -> None:
        """Do one thing, under the core's lock; what is in `touched` is to be flushed after it."""
        if isinstance(effect, Attach):
            agent = self.agents.get(effect.agent)
            if agent is None:
                agent = self.agents[effect.agent] = RemoteAgent(
                    effect.agent, self._post, self.home, self._where
                )
            agent.attach(effect)
        elif isinstance(effect, Detach):
            self._forget(effect.agent)
        else:
            self._pass_on(effect, touched)

    def _pass_on(self, effect: Effect, touched: set[Any]) -> None:
        if isinstance(effect, StartExecutor) and effect.agent in self.agents:
            self._where[effect.executor] = self.agents[effect.agent]
        agent = self._where.get(effect.executor)
        if agent is None:
            self.home.carry_out(effect, touched)
        else:
            agent.carry_out(effect)
            touched.add(agent)

    def _forget(self, number: int) -> None:
        agent = self.agents.pop(number, None)
        if agent is not None:
            for executor in [n for n, other in self._where.items() if other is agent]:
                del self._where[executor]
            agent.hang_up(agent.session)

    def flush(self, touched: Any) -> None:
        """Write what can be written, to an executor here or to an agent."""
        if isinstance(touched, RemoteAgent):
            touched.flush()
        else:
            self.home.flush(touched)

    def dial(self, number: int, service: str, stream: str) -> bool:
        """Have an agent open a stream, if it is connected; from any thread."""
        agent = self.agents.get(number)
        if agent is None or not agent.session:
            return False
        agent.tell(Dial(service, stream))
        agent.flush()
        return True

    def hang_up(self) -> None:
        """End every connection: the core begins anew, and agents have to say what they have."""
        for agent in list(self.agents.values()):
            agent.hang_up(agent.session)


def _nobody() -> None:
    """Nobody is connected."""
