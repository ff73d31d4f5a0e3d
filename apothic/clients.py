"""ControlPlaneClient: which control plane to talk to, and as whom."""

from __future__ import annotations

from apothic._connect import connect_to
from apothic._values import Value, text
from apothic_backends.base import Backend
from apothic_backends.model.errors import UsageError


class ControlPlaneClient(Value):
    """An address and a key; nothing is contacted until something uses it."""

    base_url: str
    api_key: str | None

    def __init__(
        self, base_url: str = "https://run.apothic.ai", api_key: str | None = None
    ) -> None:
        super().__init__(base_url=text("base_url", base_url), api_key=api_key)

    def check(self) -> None:
        """See to it that the address is one.

        Raises:
            UsageError: it is none, or one to which no key should be sent.
        """
        from apothic_backends.remote.address import address_of  # noqa: PLC0415 - seldom

        address_of(self.base_url)

    def connect(self) -> Backend:
        """The control plane, dialled with the first call.

        Without an `api_key` it is shown the one that was set or kept for this very server.

        Raises:
            UsageError: the address is none, or one to which no key should be sent.
        """
        key: str | None = self.api_key
        return connect_to(self.base_url, key)

    def __repr__(self) -> str:
        """The address only."""
        return f"ControlPlaneClient({self.base_url!r})"

    def __hash__(self) -> int:
        """Fit for sets; the key tells clients of one address apart, and is not shown."""
        return hash(self.base_url)


def chosen(client: ControlPlaneClient | None, base_url: str | None) -> ControlPlaneClient | None:
    """The one that was named by either; None if none was.

    Raises:
        UsageError: both are given, or the address is none.
    """
    if client is not None and base_url is not None:
        raise UsageError("client and base_url both say which control plane is meant; keep one")
    if client is None and base_url is None:
        return None
    found = client or ControlPlaneClient(base_url or "")
    found.check()
    return found
