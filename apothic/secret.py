"""Secret: values that reach a function as environment variables and are never shown."""

from __future__ import annotations

from apothic._values import Value, text


class Secret(Value):
    """A named secret that is kept outside the program."""

    name: str

    def __init__(self, name: str) -> None:
        super().__init__(name=text("name", name))

    @classmethod
    def from_name(cls, name: str) -> Secret:
        """The secret of that name; it is looked up when a function that needs it runs."""
        return cls(name)
