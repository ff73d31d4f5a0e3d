"""Values of secrets in what a command prints: results and errors of the program that it has run."""

from __future__ import annotations

import sys
from typing import Any

from apothic_backends.model.errors import ApothicError

_known: dict[str, set[str]] = {}
"""Every value that a secret has had while this process ran, by its name."""
_made: dict[frozenset[str], Any] = {}


def hide(text: str) -> str:
    """The text without the values of secrets that functions of this program have."""
    functions = sys.modules.get("apothic.functions")
    declared: dict[Any, Any] = {} if functions is None else functions.DECLARED
    secrets = {
        secret.name: secret
        for function in list(declared.values())
        for secret in function.options.get("secrets") or ()
    }
    return _masks(secrets).text(text) if secrets else text


def _masks(secrets: dict[str, Any]) -> Any:
    for name, secret in secrets.items():
        try:
            _known.setdefault(name, set()).update(secret.values())
        except ApothicError:
            continue  # nobody has had them
    values = frozenset[str]().union(*_known.values())
    if values not in _made:
        from apothic_backends.model.masks import Masks  # few programs have some  # noqa: PLC0415

        _made[values] = Masks(values)
    return _made[values]
