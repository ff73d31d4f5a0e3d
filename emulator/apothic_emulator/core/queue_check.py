"""What is always true of queues between two steps."""

from __future__ import annotations

from collections import Counter
from typing import Any

from apothic_emulator.core.handling import Handling
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.messages import CLAIMED, DEAD, DELAYED, GONE, READY, Message
from apothic_emulator.core.partitions import Partition, Queue


def check_queues(handling: Handling) -> None:
    """See to it that everything agrees with everything else.

    Raises:
        AssertionError: something does not; the message says what.
    """
    timed = {(moment, message) for moment, _, message in handling.timers.heap}
    nbytes = 0
    for name, queue in handling.queues.items():
        _sure(queue.name == name, "a queue under a foreign name", queue)
        _check_numbers(queue)
        for message in queue.messages.values():
            for moment in {message.due, message.expires_at} - {NEVER}:
                is_timed = (moment, message) in timed or not message.awaits(moment)
                _sure(is_timed, f"message {message.number} waits in vain", queue)
        for partition in queue.partitions.values():
            _check_partition(partition)
        _check_room(handling, queue)
        held = [*queue.messages.values(), *queue.dead.values()]
        nbytes += sum(len(message.data) for message in held)
    _sure(nbytes == handling.nbytes, f"{nbytes} bytes, and {handling.nbytes} are counted")


def _sure(is_true: object, what: str, queue: Queue | None = None) -> None:
    assert is_true, what if queue is None else f"{what}: queue {queue.name!r}"


def _check_numbers(queue: Queue) -> None:
    groups = (queue.messages, queue.dead, queue.past)
    _sure(len({n for held in groups for n in held}) == sum(map(len, groups)), "twice", queue)
    for held, states in zip(groups, ((READY, DELAYED, CLAIMED), (DEAD,), (GONE,)), strict=True):
        for number, message in held.items():
            _sure(message.number == number <= queue.last, "under a foreign number", queue)
            _sure(message.state in states, f"{number} is {message.state}", queue)
            _sure(message.partition.queue is queue, "in a foreign queue", queue)
    for message in queue.messages.values():
        _sure((message.claim is not None) is (message.state is CLAIMED), "claims", queue)
        _sure(message.due == NEVER or message.state is not READY, "ready and due", queue)
    for key, message in queue.keys.items():
        _sure(message.key == key, "a foreign key", queue)
        known = {**queue.messages, **queue.dead, **queue.past}
        _sure(known.get(message.number) is message, f"the key {key!r} of nothing", queue)


def _check_partition(partition: Partition) -> None:
    queue = partition.queue
    _sure(queue.partitions.get(partition.name) is partition, "a foreign partition", queue)
    held = [*queue.messages.values(), *queue.dead.values()]
    counts: Counter[object] = Counter(it.state for it in held if it.partition is partition)
    told = {
        READY: partition.ready,
        DELAYED: partition.delayed,
        CLAIMED: partition.claimed,
        DEAD: partition.dead,
    }
    _sure(counts == Counter(told), f"{told} are counted, and {counts} are there", queue)
    _sure(not (partition.ready and partition.getters), "a message and somebody waiting", queue)
    _sure(not partition.name or not partition.is_idle, "an idle partition", queue)
    numbers = [message.number for message in partition.fresh]
    _sure(numbers == sorted(numbers), "out of order", queue)
    ready = [it for it in _order(partition) if it.state is READY]
    _sure(len(ready) == len(set(ready)) == partition.ready, "ready and not in order", queue)


def _order(partition: Partition) -> list[Message]:
    return [*partition.fresh, *(message for _, message in partition.returned)]


def _check_room(handling: Handling, queue: Queue) -> None:
    claimed = sum(partition.claimed for partition in queue.partitions.values())
    _sure(claimed == queue.claimed, "claimed", queue)
    is_crowded = handling.crowded.get(queue.name) is queue
    _sure(is_crowded or not queue.putters, "nobody looks for room", queue)
    if queue.putters:
        command: Any = queue.putters[0].asked.command
        has_room = handling.has_room(queue, command.count, command.items.nbytes)
        _sure(not has_room, "room unused", queue)
