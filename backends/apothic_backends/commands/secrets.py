"""Commands for secrets."""

from __future__ import annotations

from apothic_backends.commands.base import Command
from apothic_backends.model.payloads import Payload


class KeepSecret(Command[None]):
    """Have the control plane hold values for as long as it lives, for functions that name them.

    `name` begins with `held:` and cannot be guessed: whoever knows it may use it. `values` is a
    JSON object of strings. It is carried out beside the core, of which everything is told.
    """

    beside_core = True

    name: str
    values: Payload
