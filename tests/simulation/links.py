"""Connections between agents and a control plane: what is on its way at a cut is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apothic_emulator.agent import channel, messages
from apothic_emulator.agent.channel import ChannelError, Frame, parse
from apothic_emulator.core.hellos import Cut
from tests.simulation.chance import pick

if TYPE_CHECKING:
    from tests.simulation.agents import World
    from tests.simulation.machines import Machine


class Link:
    """One connection; what is on its way when it is cut is gone."""

    def __init__(self, world: World, machine: Machine) -> None:
        self.world, self.machine = world, machine
        self.is_up, self.is_silent, self.is_welcome = True, False, False
        self.free = {True: world.now, False: world.now}
        self.remote: Any = None
        self.session = 0
        self.epoch = world.epoch
        world.links.append(self)

    def up(self, data: bytes) -> None:
        self.send(data, up=True)

    def send(self, data: bytes, *, up: bool) -> None:
        world = self.world
        delay_s = pick(world.seed, 80, world.counted(), (0.001, 0.001, 0.02, 0.2))
        self.free[up] = max(self.free[up], world.now + delay_s)
        is_data = data[4] < channel.HELLO
        for _ in range(2 if is_data and world.falls("twice") else 1):
            world.at(self.free[up], self.arrive, data, up)

    def arrive(self, data: bytes, up: bool) -> None:
        if not self.is_up or self.is_silent:
            return
        if up and self.epoch == self.world.epoch:
            self.serve(parse(data))
        elif not up:
            self.machine.heard(self, data)

    def serve(self, frame: Frame) -> None:
        """The host's side of the connection."""
        world = self.world
        if frame.kind == channel.HELLO:
            join = messages.from_bytes(frame.body)
            world.ask(join, lambda it: self.welcome(it, frame.number), lambda _: self.cut())
            return
        try:
            self.remote.received(self.session, frame)
        except ChannelError:
            self.cut()
        world.pump()

    def welcome(self, welcome: Any, taken: int) -> None:
        self.remote = self.world.fleet.agents[welcome.agent]
        self.session = welcome.session
        try:
            here = self.remote.begin(self.session, taken if welcome.resumes else 0, self.ring)
        except ChannelError:
            self.cut()
            return
        if welcome.resumes:
            self.world.reached["resumed"] += 1
        body = messages.to_bytes(welcome)
        self.send(Frame(channel.WELCOME, here, 0, body).pack(), up=False)
        self.ring()

    def ring(self) -> None:
        while self.is_up and self.epoch == self.world.epoch:
            if self.remote.session != self.session:
                self.cut()
                return
            data = self.remote.next_frame(self.session)
            if data is None:
                return
            self.send(data, up=False)

    def cut(self) -> None:
        if self.is_up:
            self.is_up = False
            world = self.world
            world.links.remove(self)
            if self.remote is not None and self.epoch == world.epoch:
                self.remote.hang_up(self.session)
                world.ask(Cut(self.remote.number, self.session), _ignore, _ignore)
            self.machine.after(0.1 + self.machine.chance(30) / 10, self.machine.dial)


def _ignore(_: Any) -> None:
    pass
