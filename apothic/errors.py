"""Errors that are those of the standard library, too."""

from __future__ import annotations

import queue

from apothic_backends.model.errors import BackendError, QueueFull


class Empty(BackendError, queue.Empty):
    """No item came within `timeout_s`. It is a `queue.Empty`, too."""

    code = "empty"


class Full(QueueFull, queue.Full):
    """There was no room within `timeout_s`. It is a `queue.Full`, too."""

    code = "full"
