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
from typing import Any, Protocol

from apothic_backends import codec
from apothic_backends.model.errors import ApothicError
from apothic_backends.model.record import Record
from apothic_emulator.agent import channel, messages
from apothic_emulator.agent.channel import Channel, ChannelError, Frame
from apothic_emulator.agent.messages import Answer, Ask, GaveUp, Give
from apothic_emulator.core.effects import (
    Attach,
    Detach,
    Dispatch,
    DispatchBatch,
    Effect,
    StartExecutor,
    sent,
)
from apothic_emulator.core.facts import Asked, Ended, GivenUp, Input, Origin, Refused
from apothic_emulator.core.hellos import Heard
from apothic_emulator.executors import wire

MOST_LENT = 10_000
"""Replies to one executor's code that go back unless it takes them; of older ones it has."""

Post = Callable[[Input], None]


class Beside(Protocol):
    """The agent of this machine, which has what the core is not to know."""

    @property
    def delivery(self) -> Any:
        """What gives secrets."""
        ...

    def carry_out_beside(self, command: Any, token: Any) -> None:
        """Do what is asked without the core."""
        ...


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
        self._requests: dict[tuple[int, int], RemoteRequest] = {}
        self._lent: dict[int, dict[int, tuple[RemoteRequest, Any]]] = {}

    # --- down -----------------------------------------------------------------------------------

    def attach(self, effect: Attach) -> None:
        """Go on with a channel, or begin a new one."""
        if effect.channel != self._name or not effect.resumes:
            with self._lock:
                self._channel, self._name = Channel(), effect.channel
                self._requests.clear()
                self._lent.clear()
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
        safe = self._beside.delivery.safe
        return bool(version != safe.version(self._specs[number].needs))

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
            ChannelError: it cannot have come, or not in this session.
        """
        with self._lock:
            if session != self.session:
                raise ChannelError("a frame of an old session")
            message = self._channel.take(frame)
            if message is not None:
                self._hear(messages.from_bytes(message, messages.UP))
            is_beat = frame.kind == channel.BEAT
            if message is not None or is_beat:
                token = Heed(self, session, self._channel.taken, frame.number if is_beat else 0)
                heard: Any = Heard(self.number, session, is_beat)
                self._post(Asked(heard, token))

    def _hear(self, message: Any) -> None:
        number: int = message.executor
        if number not in self._specs:
            return  # it was given up
        if isinstance(message, Ask):
            self._asked(message)
        elif isinstance(message, GaveUp):
            self._gave_up(number, message.request)
        else:
            if isinstance(message, Ended):
                self._bury(number)
            self._post(message)

    def _asked(self, ask: Ask) -> None:
        """Code there asks for something."""
        request: Any = RemoteRequest(self, ask.executor, ask.request)
        try:
            command = codec.from_bytes(ask.body, ask.buffers)
        except (ValueError, RecursionError) as error:
            raise ChannelError(f"a command that cannot be read: {error}") from error
        except ApothicError as error:
            self._tell_error(ask, error)
            return
        if ask.request:
            self._requests[ask.executor, ask.request] = request
        if command.beside_core:
            threading.Thread(
                target=self._beside.carry_out_beside, args=(command, request), daemon=True
            ).start()
            return
        self._post(Asked(command, request, Origin(ask.executor, ask.job)))

    def _tell_error(self, ask: Ask, error: ApothicError) -> None:
        """What cannot even be asked has its answer."""
        body = messages.error_to_bytes(error)
        told = Answer(ask.executor, ask.request, wire.FAILURE, body)
        self._channel.send([messages.to_bytes(told)])

    def _gave_up(self, executor: int, number: int) -> None:
        request = self._requests.pop((executor, number), None)
        if request is not None:
            self._post(GivenUp(request))
            return
        held = self._lent.get(executor, {}).pop(number, None)
        if held is not None:
            self._post(GivenUp(held[0], held[1]))

    def _bury(self, number: int) -> None:
        self._specs.pop(number, None)
        self._where.pop(number, None)
        self._versions.pop(number, None)
        self._lent.pop(number, None)
        for key in [key for key in self._requests if key[0] == number]:
            del self._requests[key]

    # --- replies --------------------------------------------------------------------------------

    def answer(self, request: RemoteRequest, kind: int, value: Any) -> bool:
        """Send a reply; False if nobody is there to get it."""
        key = request.executor, request.number
        buffers: list[Any] = []
        body = codec.to_bytes(value, buffers)
        with self._lock:
            if self._requests.pop(key, None) is not request:
                return False
            is_lent = getattr(value, "undo", None) is not None
            if is_lent:
                held = self._lent.setdefault(request.executor, {})
                held[request.number] = request, value
                if len(held) > MOST_LENT:
                    del held[next(iter(held))]
            told = Answer(*key, kind, body, tuple(map(bytes, buffers)), is_lent)
            self._channel.send([messages.to_bytes(told)])
        self._ring()
        return True

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


class RemoteRequest:
    """What a ticket is to commands of this process: it sends the reply to an agent."""

    __slots__ = ("_agent", "done", "executor", "number")

    def __init__(self, agent: RemoteAgent, executor: int, number: int) -> None:
        self._agent = agent
        self.executor, self.number = executor, number
        self.done = False

    def complete(self, value: Any) -> bool:
        """Send the reply; False if nobody is there to get it, and what it holds goes back."""
        self.done = True
        return self._agent.answer(self, wire.REPLY, value) or not self.number

    def fail(self, error: BaseException) -> bool:
        """Send the error."""
        self.done = True
        return self._agent.answer(self, wire.FAILURE, error)


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

    def hang_up(self) -> None:
        """End every connection: the core begins anew, and agents have to say what they have."""
        for agent in list(self.agents.values()):
            agent.hang_up(agent.session)


def _nobody() -> None:
    """Nobody is connected."""
