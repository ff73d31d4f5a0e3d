"""What secrets are worth to executors: values by name, out of the user's vault or of memory.

Values that a program has given us are held here under a name that nobody can guess, and nowhere
else. Those of the vault are read when an executor starts, and never kept: only their revisions
are, so that an executor which has old ones gets no more jobs.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from apothic_backends.commands.secrets import CheckSecrets, KeepSecret
from apothic_backends.model.errors import ApothicError, InvalidOption, SecretNotFound
from apothic_backends.model.functions import FunctionSpec, SecretRef
from apothic_backends.model.secrets import HELD, check_values
from apothic_backends.vault import Vault

MOST_HELD = 10_000
"""Secrets that one control plane holds in memory."""

Version = tuple[str, ...]
"""The revisions of the secrets of a function; it only matters whether two are equal."""


class Given(NamedTuple):
    """The variables that an executor gets, and of which version they are."""

    values: dict[str, str]
    version: Version
    keys: dict[str, str]
    """What opens its buckets, by the name of the secret; these are no variables."""

    def __repr__(self) -> str:
        """Names only."""
        return f"Given({', '.join(self.values)})"


class Safe:
    """The secrets that one control plane can give to its executors; from any thread."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, str]] = {}
        self._vault: Vault | None = None
        self._lock = threading.Lock()

    def carry_out(self, command: KeepSecret | CheckSecrets, token: Any) -> None:
        """Hold what a program has given, or look for what a function needs, and answer."""
        try:
            if isinstance(command, CheckSecrets):
                self.give(command.spec)
            else:
                self.keep(command)
        except ApothicError as error:
            token.fail(error)
        else:
            token.complete(None)

    def keep(self, command: KeepSecret) -> None:
        """Hold what a program has given.

        Raises:
            InvalidOption: these are no values, or another secret is held under that name.
        """
        try:
            values = check_values(json.loads(command.values.data))
        except (ValueError, AttributeError):
            raise InvalidOption("the values of a secret are no JSON object") from None
        if not command.name.startswith(HELD):
            raise InvalidOption(f"a secret that is given in a program is called {HELD}...")
        with self._lock:
            if len(self._held) >= MOST_HELD and command.name not in self._held:
                raise InvalidOption(
                    f"this program has made {MOST_HELD} different secrets with values; make them "
                    "once, where the function is declared"
                )
            if self._held.setdefault(command.name, values) != values:
                raise InvalidOption("another secret is held under that name")

    def give(self, spec: FunctionSpec) -> Given:
        """The variables for a function: those of a later secret count.

        Raises:
            SecretNotFound: one is not there, or lacks a key; the message says how to set it.
            SecretStoreRefused: the vault cannot be read.
        """
        with self._lock:
            named = [ref.name for ref in spec.needs if not ref.name.startswith(HELD)]
            found = self._open_vault().read(named) if named else {}
            held = {name: values for name, (_, values) in found.items()} | self._held
            values: dict[str, str] = {}
            for ref in spec.secrets:
                values |= _checked(spec, ref, held.get(ref.name))
            keys = {
                ref.name: _only(spec, ref, _checked(spec, ref, held.get(ref.name)))
                for ref in spec.needs[len(spec.secrets) :]
            }
            return Given(values, tuple(found[name][0] for name in named), keys)

    def version(self, refs: Sequence[SecretRef]) -> Version:
        """Which version an executor would get now; costs a look at a file if one is named."""
        named = [ref.name for ref in refs if not ref.name.startswith(HELD)]
        if not named:
            return ()
        with self._lock:
            try:
                entries = self._open_vault().entries()
            except ApothicError:
                return ("refused",)  # whoever starts next is told why
            return tuple(entries[name].revision if name in entries else "" for name in named)

    def _open_vault(self) -> Vault:
        if self._vault is None:
            self._vault = Vault()
        return self._vault


def _checked(spec: FunctionSpec, ref: SecretRef, values: dict[str, str] | None) -> dict[str, str]:
    """The values of a secret, if it is there and whole.

    Raises:
        SecretNotFound: it is not.
    """
    if values is None and ref.name.startswith(HELD):
        raise SecretNotFound(
            f"{spec.name}() needs a secret that was given in another program, whose control plane "
            "held its values; declare the function here, or keep the secret with "
            "`apothic secret set NAME`",
            name=ref.name,
        )
    if values is None:
        raise SecretNotFound(
            f"{spec.name}() needs the secret {ref.name}, which is not there. Set it with "
            f"`apothic secret set {ref.name}{_keys(ref.required_keys)}`",
            name=ref.name,
        )
    missing = [key for key in ref.required_keys if key not in values]
    if missing:
        raise SecretNotFound(
            f"{spec.name}() needs the secret {ref.name} with {', '.join(missing)}, which it lacks. "
            f"Set that with `apothic secret set {ref.name}{_keys(missing)}`",
            name=ref.name,
            missing=missing,
        )
    return values


def _only(spec: FunctionSpec, ref: SecretRef, values: dict[str, str]) -> str:
    """The one value of a secret that is a key.

    Raises:
        SecretNotFound: it has several, and none under its own name.
    """
    if len(values) == 1:
        return next(iter(values.values()))
    if ref.name not in values:
        raise SecretNotFound(
            f"a bucket of {spec.name}() needs one value of the secret {ref.name}, which has "
            f"{len(values)}; set one with `apothic secret set {ref.name} {ref.name}`, or name "
            "another secret",
            name=ref.name,
        )
    return values[ref.name]


def _keys(keys: Sequence[str]) -> str:
    return "".join(f" {key}" for key in keys)
