"""What the commands of `apothic secret` do."""

from __future__ import annotations

import os
import sys

import click

from apothic.cli import output
from apothic.cli.command import say
from apothic.cli.wishes import Wishes
from apothic_backends.model.errors import NotFound, UsageError
from apothic_backends.model.secrets import MOST_VALUE, check_key, check_name
from apothic_backends.vault import Vault

SCHEMA = "apothic.secrets.v1"
STDIN = "-"


def put(asked: Wishes, name: str, keys: tuple[str, ...], *, from_env: bool) -> None:
    """Set keys of a secret, from wherever their values come."""
    is_piped = STDIN in keys
    named = [_typed(key) for key in keys if key != STDIN]
    if is_piped and (from_env or len(named) > 1):
        raise UsageError("- reads one value: `apothic secret set NAME [KEY] -`, without --from-env")
    names = named or [_own_key(check_name(name))]
    if from_env:
        values = _from_environment(names)
    elif is_piped:
        values = {names[0]: _from_stdin(names[0])}
    else:
        values = {key: _asked_for(key) for key in names}
    Vault().put(name, values)
    say(asked, f"{name} is set: {', '.join(names)}")


def _own_key(name: str) -> str:
    """The one key of a secret that was given none."""
    try:
        return check_key(name)
    except UsageError:
        raise UsageError(
            f"{name} is not the name of an environment variable, so say which one the value goes "
            f"into: `apothic secret set {name} KEY`"
        ) from None


def _typed(key: str) -> str:
    """Refuse a value on the command line, where every process of the machine can read it."""
    try:
        return check_key(key)
    except UsageError:  # which would show what it was
        raise UsageError(
            "what follows NAME are names of environment variables; values are typed when asked "
            "for, or piped in with -, since every process of this machine can read command lines"
        ) from None


def _from_environment(names: list[str]) -> dict[str, str]:
    missing = [key for key in names if key not in os.environ]
    if missing:
        raise NotFound(f"not in this environment: {', '.join(missing)}", known=[])
    return {key: os.environ[key] for key in names}


def _from_stdin(key: str) -> str:
    data = sys.stdin.buffer.read(2 * MOST_VALUE)
    try:
        value = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageError(f"the value of {key} on stdin is no UTF-8 text") from None
    if not value:
        raise UsageError(f"stdin has no value for {key}")
    return value


def _asked_for(key: str) -> str:
    if not sys.stdin.isatty():
        raise UsageError(
            f"nobody can be asked for {key} here: pipe it in (`apothic secret set NAME KEY -`), or "
            "use --from-env"
        )
    value: str = click.prompt(key, hide_input=True, err=True)
    return value


def show(asked: Wishes) -> None:
    """Print names and keys."""
    found = sorted(Vault().entries().items())
    if asked.is_json():
        listed = [{"name": name, "keys": list(entry.keys)} for name, entry in found]
        output.put(output.line_of({"schema": SCHEMA, "secrets": listed}))
        return
    width = max((len(name) for name, _ in found), default=0)
    for name, entry in found:
        output.put(f"{name:{width}}  {' '.join(entry.keys)}")


def delete(asked: Wishes, name: str, keys: tuple[str, ...]) -> None:
    """Forget a secret or some of its keys."""
    vault = Vault()
    if not vault.delete(name, keys):
        known = sorted(vault.entries())
        what = f"{name} with {', '.join(keys)}" if keys else name
        raise NotFound(f"no secret {what}; there are: {', '.join(known) or 'none'}", known=known)
    say(asked, f"{' '.join([name, *keys])} is deleted")


def take(asked: Wishes, path: str, name: str | None) -> None:
    """Take the variables of a .env file."""
    from dotenv import dotenv_values  # for those who have such files  # noqa: PLC0415

    values = {key: value for key, value in dotenv_values(path).items() if value is not None}
    if not values:
        raise UsageError(f"{path} sets no variable")
    vault = Vault()
    for secret, held in [(name, values)] if name else [(k, {k: v}) for k, v in values.items()]:
        vault.put(secret, held)
    say(asked, f"{name or 'set'}: {', '.join(values)}")


def get(asked: Wishes, name: str, *, reveal: bool, yes: bool) -> None:
    """Print the values of a secret, to a person or to who has said twice that it is meant."""
    if not reveal or not (yes or sys.stdout.isatty()):
        raise UsageError("values are printed to a terminal only; add --yes to print them here")
    found = Vault().read([name])
    if name not in found:
        raise NotFound(f"no secret {name}; `apothic secret list` shows those there are")
    values = found[name][1]
    if asked.is_json():
        output.put(output.line_of({"schema": SCHEMA, "name": name, "values": values}))
    else:
        for key, value in sorted(values.items()):
            output.put(f"{key}={value}")
