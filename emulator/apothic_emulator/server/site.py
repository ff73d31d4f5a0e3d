"""What the routes of a server share."""

from __future__ import annotations

from collections.abc import Callable

from apothic_emulator.server.accounts import Account, Accounts
from apothic_emulator.server.keys import Key, Keys
from apothic_emulator.server.waits import Waits


class Site:
    """A server, as its routes know it."""

    def __init__(
        self, accounts: Accounts, keys: Keys, max_body: int, clock: Callable[[], float]
    ) -> None:
        self.accounts = accounts
        self.keys = keys
        self.max_body = max_body
        self.clock = clock
        """Unix time."""
        self.waits = Waits()
        self.counts: dict[str, int] = {}
        """Requests by path, of those paths that there are."""

    async def account(self, key: Key) -> Account:
        """The account that a key is for.

        Raises:
            StoreError: its state cannot be had.
            BackendClosed: the server is about to end.
        """
        return await self.accounts.get(key.account)

    def count(self, path: str) -> None:
        """Note a request."""
        self.counts[path] = self.counts.get(path, 0) + 1
