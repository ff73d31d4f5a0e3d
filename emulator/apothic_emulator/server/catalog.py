"""What can be asked over HTTP: the list of commands, each under its name with dashes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from inspect import getdoc
from typing import Any, get_args

from apothic_backends.commands import COMMANDS, SELDOM, Command
from apothic_backends.model.record import Record, records_in

LOOKING = re.compile(r"(Get|List|Read|Count|Find|Has|Peek|Wait)[A-Z]")
"""Commands that change nothing begin so, and those of the scope `read` may ask them."""

CHANGING = frozenset({"ReadItems"})
"""Those that begin so and yet change something: what was read is dropped."""

RUN = frozenset({"admin", "run"})
READ = frozenset({"admin", "run", "read"})
ADMIN = frozenset({"admin"})


class Offer(Record):
    """One thing that can be asked: where, of what kind, and by whom."""

    path: str
    kind: type[Command[Any]]
    scopes: frozenset[str]

    @property
    def reply(self) -> Any:
        """The type of the reply."""
        (base,) = self.kind.__orig_bases__  # type: ignore[attr-defined]
        return get_args(base)[0]

    @property
    def text(self) -> str:
        """What it does, for people."""
        return getdoc(self.kind) or ""


def path_of(kind: type[Command[Any]]) -> str:
    """Where a command is asked: `/v1/submit-job`."""
    return "/v1/" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", kind.__name__).lower()


def scopes_of(kind: type[Command[Any]]) -> frozenset[str]:
    """The scopes that may ask for it."""
    name = kind.__name__
    return READ if LOOKING.match(name) and name not in CHANGING else RUN


_EFFECTS = ("create", "last", "owned")
"""Fields by which a command that looks does more than that."""


def only_looks(command: Command[Any]) -> bool:
    """Whether a command, as it was asked, changes nothing."""
    if scopes_of(type(command)) is not READ:
        return False
    return not any(getattr(command, field, False) for field in _EFFECTS)


@cache
def offers() -> Mapping[str, Offer]:
    """Every command that a control plane takes, by path."""
    kinds = list(COMMANDS.values())
    for module in SELDOM:
        found = records_in(f"apothic_backends.commands.{module}").values()
        kinds += [kind for kind in found if issubclass(kind, Command)]
    return {path_of(kind): Offer(path_of(kind), kind, scopes_of(kind)) for kind in kinds}
