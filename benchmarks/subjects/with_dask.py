"""Dask distributed: a scheduler and workers in processes of this machine, nothing durable."""

from __future__ import annotations

from typing import Any

import work


class Dask:
    """A client of a local cluster."""

    def __init__(self, workers: int) -> None:
        from distributed import Client, LocalCluster  # noqa: PLC0415 - only dask needs it

        self._cluster: Any = LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
        )
        self._client: Any = Client(self._cluster)
        self.map(2 * workers)

    def call(self) -> None:
        """Run the no-op there and wait for it."""
        self._client.submit(work.noop, 0, pure=False).result()

    def map(self, count: int) -> None:
        """Run that many no-ops, each its own task, and collect the results."""
        self._client.gather(self._client.map(work.noop, range(count), pure=False))

    def close(self) -> None:
        """Stop all."""
        self._client.close()
        self._cluster.close()


def open_subject(workers: int) -> Dask:
    """Start it."""
    return Dask(workers)
