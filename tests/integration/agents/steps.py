"""Moments in what an agent and its control plane say, seen from between them."""

from __future__ import annotations

import asyncio
import threading

from apothic_emulator.agent import channel, messages
from apothic_emulator.agent.channel import ChannelError, Frame, parse


class Stop:
    """Where all that an agent says and hears stands still: before a message.

    Or once that is `acked`, before the acknowledgement; or if it `passes`, right after it. The
    message is named by its class; a frame with another part of it to come is called "part".
    """

    def __init__(self, name: str, *, acked: bool = False, passes: bool = False) -> None:
        self.name, self.is_acked, self.passes = name, acked, passes
        self.reached = threading.Event()
        self.is_let_go = asyncio.Event()
        self._number = 0
        """Of the frame whose acknowledgement is awaited, and which way it went."""
        self._is_up = False

    def __repr__(self) -> str:
        return self.name + " acked" * self.is_acked + " passed" * self.passes

    def sees(self, data: bytes, *, up: bool) -> bool:
        """Whether this is the moment."""
        frame = parse(data)
        if self._number:
            return up is not self._is_up and frame.ack >= self._number
        if _name(frame) != self.name:
            return False
        if self.is_acked:
            self._number, self._is_up = frame.number, up
        return not self.is_acked


def _name(frame: Frame) -> str:
    if frame.kind == channel.WELCOME:
        return "Welcome"
    if frame.kind != channel.DATA:
        return ""
    if frame.flags & channel.MORE:
        return "part"
    try:
        return type(messages.from_bytes(frame.body)).__name__
    except ChannelError:
        return ""  # the last part of a large one
