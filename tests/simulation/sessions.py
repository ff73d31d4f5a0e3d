"""Clients of a server, over lines that are cut, while the server is killed.

    python -m tests.simulation.sessions --seeds 1000

N1  each command has one outcome, for its client
N2  what has an effect happens once, if its client heard so; else once, or never
N3  what came with a reply is somebody's, or goes back: nothing is lost but with whoever had it
N4  a call that was given up does not run on
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

from apothic_backends.commands import CancelJob, RegisterFunction, ReleaseJob, SubmitJob
from apothic_backends.commands.queues import OpenQueue, PeekItems, PutItems, TakeItems
from apothic_backends.model.errors import ApothicError, JobGone, QueueFull
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_backends.model.queues import QueueItems, joined
from apothic_backends.remote.operations import changes_something
from apothic_emulator.core.effects import Outcome
from apothic_emulator.core.facts import Asked, GivenUp, Input
from apothic_emulator.server.session import Ask, Word
from tests.simulation import driving
from tests.simulation.books import texts_of
from tests.simulation.driving import Client, Driven, Replies, Reply, Script
from tests.simulation.history import sure
from tests.simulation.lines import Caller

CLIENTS = 5
LOSES_INTEREST = 0.1
FAULTS = ("cut", "cut", "cut", "die", "give up", "give up", *driving.CRASHES)


class Desk:
    """What a session needs of a host."""

    dead = None

    def __init__(self, world: SessionWorld) -> None:
        self.world = world
        self.reader = self

    def post(self, item: Input) -> None:
        self.world.inbox.append(item)
        self.world.pump()

    def watch(self) -> None:
        """Somebody looks anyway."""


class Wish:
    """What a client has asked for, and the one answer to it."""

    def __init__(self, world: SessionWorld, caller: Caller, command: Any, reply: Reply) -> None:
        self.world, self.caller, self.command, self.reply = world, caller, command, reply
        self.number = 0
        self.answers = 0
        self.is_wanted = True

    def __call__(self, value: Any, error: BaseException | None) -> None:
        self.answers += 1
        sure(self.answers == 1, "N1", "%r has %d outcomes", self.command, self.answers)
        world, connection = self.world, self.caller.connection
        if isinstance(value, QueueItems):
            if self.is_wanted:
                world.took(value)
                connection.see(self.number)
            else:
                world.reached["went back"] += bool(value.count)
                connection.give_back(self.number)
        elif isinstance(self.command, SubmitJob) and error is None and not self.is_wanted:
            world.reached["dropped"] += 1
            connection.tell(CancelJob(value), once=False)
            connection.tell(ReleaseJob(value), once=False)
        if self.is_wanted:
            world.at(world.now, self.reply, value, error)


class SessionWorld(Driven):
    """One run."""

    expected = (QueueFull, JobGone)

    def __init__(self, seed: int) -> None:
        self.lives = 0
        self.inbox: deque[Input] = deque()
        self.sessions: dict[str, Any] = {}
        self.desk = Desk(self)
        self.wishes: dict[int, Wish] = {}
        self.tokens: dict[tuple[str, int], int] = {}
        """Of the wishes, by client and number."""
        self.put: set[str] = set()
        self.out: Counter[str] = Counter()
        """What clients have taken."""
        self.doubtful: set[str] = set()
        """What was taken for who may never have had it."""
        self.called: dict[str, str] = {}
        """Each call, by what it was called with, and its job."""
        self.given_up: dict[str, Caller] = {}
        """Calls that nobody wants any more, and whose they were."""
        self._is_pumping = self._has_faults = False
        self._is_fickle = seed % 2 == 0
        """Whether clients give up what is about to be written down: it drowns out rarer things."""
        self._handed: list[tuple[Ask, QueueItems]] = []
        self._last_text = 0
        super().__init__(seed)
        self.callers = [Caller(self) for _ in range(CLIENTS)]
        self._prepare()
        self.clients = [Client(self, i) for i in range(CLIENTS)]

    def _prepare(self) -> None:
        spec = FunctionSpec("sim", "f", max_pending_tasks=6)
        for command in (RegisterFunction(spec, Payload(b"f")), OpenQueue("q", max_items=8)):
            self.step([Asked(command, object())])  # type: ignore[arg-type]

    def run(self) -> None:
        """From the first event to the last look."""
        for client in self.clients:
            self.at(self.chance.random(), client.go_on)
        faults = self.chance.choice((0, 5, 30))
        self._has_faults = faults > 0
        for _ in range(faults):
            self.at(self.chance.uniform(0, self.chaos_s), self._fault, self.chance.choice(FAULTS))
        while self.following < self.chaos_s + 90.0:
            self.happen()
        self.settle()
        self._judge()

    # --- faults ---------------------------------------------------------------------------------

    def _fault(self, kind: str) -> None:
        if kind in driving.CRASHES:
            self.crash(kind)
            return
        self.reached[kind] += 1
        number = self.chance.randrange(CLIENTS)
        caller, client = self.callers[number], self.clients[number]
        if kind == "cut":
            caller.cut()
        elif kind == "give up":
            client.vanish()
        else:
            self._die(number, caller, client)

    def _die(self, number: int, caller: Caller, client: Client) -> None:
        caller.die()
        for wish in self.wishes.values():
            if wish.caller is caller:
                wish.is_wanted = False
        self.callers[number] = Caller(self)
        client.replace()

    def restarted(self, unsaid: Sequence[Outcome]) -> None:
        """Every line is cut, and sessions are forgotten."""
        for outcome in unsaid:
            self._hand_out(outcome.replies)
        self.lives += 1
        self.sessions.clear()
        self.inbox.clear()
        self.at(self.now, self._prepare)
        for caller in self.callers:
            caller.cut()

    # --- between clients and the core -----------------------------------------------------------

    def ask(self, command: Any, reply: Reply) -> int:
        """Ask for something, by the client whose script it is; the token of the reply."""
        client: Client = reply.__self__  # type: ignore[attr-defined]
        caller = self.callers[client.number]
        self._tokens += 1
        wish = self.wishes[self._tokens] = Wish(self, caller, command, reply)
        takes = isinstance(command, TakeItems)
        once = changes_something(command)
        wish.number = caller.connection.ask(command, wish, once=once, goes_back=takes)
        self.tokens[caller.connection._client, wish.number] = self._tokens
        caller.write()
        return self._tokens

    def give_up(self, token: int) -> None:
        """Wait for a reply no more."""
        wish = self.wishes[token]
        if not wish.answers and not wish.caller.is_dead:
            wish.is_wanted = False
            if isinstance(wish.command, SubmitJob):
                text = bytes(wish.command.arguments.data).decode()
                self.given_up[text] = wish.caller
            wish.caller.connection.give_up(wish.number)
            wish.caller.write()

    def pump(self) -> None:
        """Step the core with all that has come."""
        if not self._is_pumping:
            self._is_pumping = True
            try:
                while self.inbox:
                    self._decided(self.step([self.inbox.popleft()]))
            finally:
                self._is_pumping = False

    def _decided(self, outcome: Outcome) -> None:
        """A client may give up what is carried out already, and not written down yet."""
        for token, _, error in outcome.replies if self._is_fickle and self.disk.held else ():
            is_call = isinstance(token, Ask) and isinstance(token.command, SubmitJob)
            if is_call and error is None and self.chance.random() < LOSES_INTEREST:
                self.at(self.now, self._lose_interest, token)

    def _may_be_killed(self, token: Any) -> None:
        """Before it is written down that a call ends which was given up."""
        is_call = isinstance(token, Ask) and isinstance(token.command, SubmitJob)
        may = self._is_fickle and self._has_faults
        if may and is_call and token.is_given_up and self.chance.random() < 0.5:
            self.reached["killed before it ends"] += 1
            self.crash("crash_before_commit")

    def say(self, replies: Replies) -> None:
        """Replies leave the control plane."""
        replies = list(replies)
        self._hand_out(replies)
        for token, value, error in replies:
            self._may_be_killed(token)
            if isinstance(token, Ask | Word):
                if error is not None:
                    token.fail(error)
                elif not token.complete(value):
                    self.desk.post(GivenUp(token, value))

    def _hand_out(self, replies: Replies) -> None:
        """Note for whom things were taken."""
        for token, value, _ in replies:
            if isinstance(token, Ask) and isinstance(value, QueueItems):
                self._handed.append((token, value))
            is_much = isinstance(value, QueueItems) and value.count
            is_call = isinstance(token, Ask) and isinstance(token.command, SubmitJob)
            if (is_much or is_call) and self.chance.random() < LOSES_INTEREST:
                delay_s = self.chance.choice((0.0, 0.01, 0.3))
                self.at(self.now + delay_s, self._lose_interest, token)

    def _lose_interest(self, ask: Any) -> None:
        """A reply is on its way to a client, which gives up waiting for it."""
        token = self.tokens[ask.session.client, ask.number]
        for client in self.clients:
            if client.token == token:
                client.vanish()

    def took(self, items: QueueItems) -> None:
        """A client has items."""
        self.out.update(texts_of(items))

    def told(self, name: str, told: Any) -> None:
        """Watchers would hear of something."""

    def committed(self) -> None:
        """What was decided up to here stands."""

    # --- what clients do ------------------------------------------------------------------------

    def draw_script(self, client: Client) -> Script:
        """What a client does next."""
        scripts = (self._put, self._put, self._get, self._get, self._call, self._call, self._cancel)
        return self.chance.choice(scripts)()

    def _fresh(self) -> str:
        self._last_text += 1
        return f"{self._last_text}"

    def _put(self) -> Script:
        text = self._fresh()
        timeout_s = self.chance.choice((0.0, 2.0, None))
        try:
            yield PutItems("q", joined([text.encode()]), 1, timeout_s=timeout_s)
        except ApothicError as error:
            self.reached[error.code] += 1
        else:
            self.put.add(text)

    def _get(self) -> Script:
        yield TakeItems("q", self.chance.choice((1, 3)), "", self.chance.choice((0.0, 1.0, 5.0)))
        yield self.chance.choice((0.0, 0.2))

    def _call(self) -> Script:
        text = self._fresh()
        job: Any = yield SubmitJob("functions:1", Payload(text.encode()), wait_for_room=True)
        self.called[text] = job
        yield self.chance.choice((0.0, 0.5))
        if self.chance.random() < 0.8:
            yield CancelJob(job)

    def _cancel(self) -> Script:
        if self.called:
            yield CancelJob(self.chance.choice(sorted(self.called.values())))
        yield 0.2

    # --- what has to be true --------------------------------------------------------------------

    def _judge(self) -> None:
        for wish in self.wishes.values():
            is_over = wish.answers or wish.caller.is_dead or not wish.is_wanted
            is_parked = isinstance(wish.command, SubmitJob | PutItems)
            sure(is_over or is_parked, "N1", "%r has no outcome", wish.command)
        self._doubt()
        self._judge_items()
        self._judge_calls()

    def _doubt(self) -> None:
        """What was taken for who has died may be gone, or come again."""
        wishes = {(it.caller.connection._client, it.number): it for it in self.wishes.values()}
        for ask, items in self._handed:
            if wishes[ask.session.client, ask.number].caller.is_dead:
                self.doubtful.update(texts_of(items))

    def _judge_items(self) -> None:
        outcome = self.plane.step([Asked(PeekItems("q", 1000), object())], self.now)  # type: ignore[arg-type]
        left: Any = outcome.replies[0][1]
        there = self.out + Counter(texts_of(left))
        self.reached["items"] += len(self.put)
        for text in self.put - self.doubtful:
            sure(there[text] == 1, "N3", "%s is there %d times", text, there[text])
        twice = [text for text, times in there.items() if times > 1 and text not in self.doubtful]
        sure(not twice, "N2", "%s more than once", twice)

    def _judge_calls(self) -> None:
        known: Counter[str] = Counter()
        for job in self.plane.ledger.jobs.values():
            text = bytes(job.arguments.data).decode()
            known[text] += 1
            owner = self.given_up.get(text)
            is_nobodys = owner is not None and not owner.is_dead
            is_over = job.is_final or job.stop == "cancel"  # no executor here answers a recall
            sure(not is_nobodys or is_over, "N4", "%s was given up, and waits", job.job_id)
        self.reached["calls"] += len(self.called)
        twice = [text for text, times in known.items() if times > 1]
        sure(not twice, "N2", "%s were called twice", twice)
        for text, job_id in self.called.items():
            job = self.plane.ledger.jobs.get(int(job_id[5:]))
            if job is not None and not job.is_final:
                sure(known[text] == 1, "N2", "%s was called %d times", text, known[text])


def failure_of(seed: int) -> str:
    """What a seed finds; empty if nothing."""
    return driving.failure_of(SessionWorld, seed)


if __name__ == "__main__":
    driving.main(SessionWorld, "python -m tests.simulation.sessions")
