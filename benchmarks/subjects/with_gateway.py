"""Services of a server that runs nothing itself: on an agent of this machine."""

from __future__ import annotations

from subjects import with_joined
from subjects.with_services import Services


class Gateway(Services):
    """As `Services`, of which no process is where the requests come in."""

    def __init__(self, workers: int) -> None:
        self._joined = with_joined.open_subject(workers)
        super().__init__()

    def close(self) -> None:
        """Stop all."""
        super().close()
        self._joined.close()


def open_subject(workers: int) -> Gateway:
    """Start them, with one process for each service."""
    return Gateway(workers)
