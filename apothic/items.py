"""What a generator function yields elsewhere, for `for` and for `async for`."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from typing import Any, Generic, Protocol, Self, TypeVar

from apothic._twins import awaited, blocking, checkpoint
from apothic_backends.model.errors import ResultDeserializeError, WaitTimeout

T_co = TypeVar("T_co", covariant=True)


class Link(Protocol):
    """What reads the items: an `_items.ItemsLink`."""

    job_id: str | None

    def more(self) -> Coroutine[Any, Any, Iterator[Any] | None]: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102
    def forget(self) -> None: ...  # noqa: D102


class _Reader(Generic[T_co]):
    """The items of one call: those that are here, and where more come from."""

    name: str
    """That of the function."""

    def __init__(self, link: Link, name: str) -> None:
        self.name = name
        self._link = link
        self._here: Iterator[T_co] = iter(())

    @property
    def job_id(self) -> str | None:
        """The job that yields them; None before the first was asked for."""
        return self._link.job_id

    def _close(self) -> None:
        self._here = iter(())
        self._link.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Refuse: each item is given out once, here."""
        raise TypeError(f"the items of {self.name}() can be read in this process only")

    def __repr__(self) -> str:
        """Of which function, and by which job."""
        return f"<{type(self).__name__} of {self.name}, {self.job_id or 'not started'}>"

    def __del__(self) -> None:
        """Whoever does not read on has no use for the generator."""
        try:
            self._link.forget()
        except Exception:  # noqa: BLE001, S110 - nobody to tell, and modules may be gone already
            pass


class Items(_Reader[T_co]):
    """The items of one call of a generator function, which runs in a worker.

    The call starts with the first item that is asked for. The generator runs ahead by at most 256
    items or 1 MiB, then it waits. It is closed there (its `finally` blocks run) when this is
    closed, is left by an exception, or goes out of use. Each item is given out once.
    """

    def __iter__(self) -> Self:
        """Itself."""
        return self

    def __next__(self) -> T_co:
        """Wait for the next item, blocking.

        Raises:
            WaitTimeout: none came within `timeout_s` seconds; the job runs on, and the next call
                waits again.
            JobError: the job did not succeed; or the very exception that the generator raised.
        """
        try:
            while True:
                for item in self._here:
                    return item
                more = blocking(self, "remote_gen", self._link.more)
                if more is None:
                    raise StopIteration
                self._here = more
        except (ResultDeserializeError, KeyboardInterrupt):
            self._close()
            raise

    def close(self) -> None:
        """Take no more items, and have the generator closed where it runs."""
        self._close()

    def __enter__(self) -> Self:
        """Itself, to be closed at the end of the block."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it."""
        self.close()


class AsyncItems(_Reader[T_co]):
    """As `Items`, to be read on asyncio or trio."""

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> T_co:
        """Wait for the next item; as `Items.__next__` otherwise."""
        try:
            while True:
                for item in self._here:
                    return item
                await checkpoint()  # other tasks have their turn, however fast items come
                more = await awaited(self._link.more())
                if more is None:
                    break
                self._here = more
        except WaitTimeout:
            raise
        except BaseException:  # cancelled: whoever holds this exception must not hold the generator
            self._close()
            raise
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Take no more items, and have the generator closed where it runs."""
        self._close()

    async def __aenter__(self) -> Self:
        """Itself, to be closed at the end of the block."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close it."""
        self._close()
