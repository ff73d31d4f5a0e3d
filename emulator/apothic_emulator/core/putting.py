"""What can be put into a queue."""

from __future__ import annotations

from apothic_backends.commands.queues import PutItems
from apothic_backends.model.errors import UsageError
from apothic_backends.model.queues import MOST_ITEM, MOST_TOGETHER, ItemTooLarge, split


def items_of(command: PutItems) -> list[bytes]:
    """The items of a command, each of which can be held.

    Raises:
        ItemTooLarge: one of them cannot, or all together.
        UsageError: they are not so many.
    """
    try:
        items = split(command.items, command.count)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if len(command.items.data) > MOST_TOGETHER:
        raise ItemTooLarge(
            f"{len(command.items.data)} bytes cannot be put at once, {MOST_TOGETHER} can: put "
            "fewer items at once",
            nbytes=len(command.items.data),
        )
    if len(command.items.data) > MOST_ITEM:
        largest = max(map(len, items))
        if largest > MOST_ITEM:
            raise ItemTooLarge(
                f"an item has {largest} bytes pickled, and a queue takes {MOST_ITEM} at the "
                "most: put it into a volume, and its path into the queue",
                nbytes=largest,
            )
    return items
