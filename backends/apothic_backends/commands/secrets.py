"""Commands for secrets."""

from __future__ import annotations

from apothic_backends.commands.base import Command
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload


class KeepSecret(Command[None]):
    """Have the control plane hold values for as long as it lives, for functions that name them.

    `name` begins with `held:` and cannot be guessed: whoever knows it may use it. `values` is a
    JSON object of strings. It is carried out beside the core, of which everything is told.
    """

    beside_core = True

    name: str
    values: Payload


class CheckSecrets(Command[None]):
    """See whether the secrets of a function are there, with the keys that it requires.

    It fails with `SecretNotFound` where one is not, as an executor of the function would. It is
    carried out beside the core, which knows no more of secrets than their names.
    """

    beside_core = True

    spec: FunctionSpec
