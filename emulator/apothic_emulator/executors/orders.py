"""What the host and a zygote tell each other: one packet a message, numbers in fixed places.

down   FORK number, flags, `Limits`, six descriptors   start an executor
       SIGNAL number, signal                           send it one, unless it has been reaped
       HUNG_UP number, milliseconds                    kill it if it has not ended by then
       PRELOAD -, -, marshalled `Wanted`, one channel  fork a successor that imports modules
       WATCH                                           look at its executors' memory for a while
       LIMIT number, megabytes                         watch it under another limit
       GUEST -, -, marshalled `Guest`, two descriptors fork the zygote of an environment, with its
                                                       channel, and a pipe that ends with it
       FOLDERS -, -, paths                             of control groups, if the host dies
       CLOSE                                           let executors end, then end
up     STARTED number, process id                      it was forked
       OVER number, megabytes, version                 it uses more memory than it may, says the
                                                       kernel by that version of cgroups, or 0
       WATCHED                                         that while is over
       ENDED number, wait status, flags                and everything it started is gone
       FAILED number, errno                            it could not be forked
       READY                                           a successor has imported what it was told
       IDLE                                            it has had no executor for long
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

FORK: Final = 1
SIGNAL: Final = 2
HUNG_UP: Final = 3
PRELOAD: Final = 4
CLOSE: Final = 5
ENDED: Final = 6
FAILED: Final = 7
READY: Final = 8
WATCH: Final = 9
STARTED: Final = 10
OVER: Final = 11
WATCHED: Final = 12
FOLDERS: Final = 13
LIMIT: Final = 14
IDLE: Final = 15
GUEST: Final = 16

BY_VALUE: Final = 1
"""With FORK: the executor will need cloudpickle."""
TELL_PID: Final = 2
"""With FORK: STARTED is wanted."""
BUILD: Final = 4
"""With FORK: it is a builder, which makes what an executor with these channels is to run in."""
WAS_KILLED: Final = 1
"""With ENDED: it had hung up, and was killed because it lived on."""

MOST: Final = 64 * 1024
"""The longest message."""

_FORMAT: Final = Struct("<BBQi")


class Message(NamedTuple):
    """One message, either way."""

    kind: int
    number: int = 0
    value: int = 0
    flags: int = 0
    rest: bytes = b""


def pack(message: Message) -> bytes:
    """A message as a packet."""
    fixed = _FORMAT.pack(message.kind, message.flags, message.number, message.value)
    return fixed + message.rest


def parse(data: bytes) -> Message:
    """A packet as a message."""
    kind, flags, number, value = _FORMAT.unpack_from(data)
    return Message(kind, number, value, flags, data[_FORMAT.size :])
