"""ControlPlaneClient: which control plane to talk to, and as whom."""

from __future__ import annotations

from apothic._values import Value, text


class ControlPlaneClient(Value):
    """An address and a key; nothing is contacted until something uses it."""

    base_url: str

    def __init__(
        self, base_url: str = "https://run.apothic.ai", api_key: str | None = None
    ) -> None:
        super().__init__(base_url=text("base_url", base_url), api_key=api_key)

    def __repr__(self) -> str:
        """The address only."""
        return f"ControlPlaneClient({self.base_url!r})"

    def __hash__(self) -> int:
        """Fit for sets; the key tells clients of one address apart, and is not shown."""
        return hash(self.base_url)
