"""What only the operator of a server asks: keys, and the balances of accounts.

They are commands as all others are, under `/v1/`, and in the same document.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anyio import from_thread
from anyio.to_thread import run_sync

from apothic_backends.commands import Command
from apothic_backends.model.errors import NotFound
from apothic_backends.model.record import Record
from apothic_emulator.core.bills import TopUp
from apothic_emulator.server.catalog import ADMIN, Offer, path_of
from apothic_emulator.server.keys import Key
from apothic_emulator.server.site import Site


class ApiKey(Record):
    """A key without its secret. Times are Unix seconds; without `expires_at` it holds for ever."""

    key_id: str
    account: str
    scopes: tuple[str, ...]
    name: str
    created_at: float
    expires_at: float | None
    is_expired: bool


class NewApiKey(Record):
    """A key that was made, and its token, which is shown this once."""

    key: ApiKey
    token: str


class CreateApiKey(Command[NewApiKey]):
    """Make a key; the token in the reply is not seen again.

    Without an `account` it is for the same one as the key that asks. `ttl_s` is how long it holds,
    in seconds; without, until it is revoked. Scopes are `admin` (everything, of every account),
    `run`, `read` (looking only), `agent` (to join as an agent) and `metrics`.
    """

    scopes: tuple[str, ...] = ("run",)
    account: str = ""
    name: str = ""
    ttl_s: float | None = None


class ListApiKeys(Command[tuple[ApiKey, ...]]):
    """Look at every key, the oldest first; never at a token."""


class AccountBalance(Record):
    """What an account has left, in nano-USD (billionths of a dollar); with 0 nothing new begins.

    None is no limit.
    """

    account: str
    balance_nano_usd: int | None


class TopUpAccount(Command[AccountBalance]):
    """Add to what an account may use; the first time, it may use no more than that from then on.

    `nano_usd` are billionths of a dollar; less than 0 takes away what was added by mistake. It is
    done once for each `operation`, a name of your choice, such as that of an invoice: the same
    again changes nothing. What has waited for it begins. None lifts the limit: it may use whatever
    it likes, until the next top-up.
    """

    account: str
    nano_usd: int | None
    operation: str


class RevokeApiKey(Command[ApiKey]):
    """Have a key hold no more, from now on; what goes on under it ends within a second."""

    key_id: str


Rule = Callable[[Site, Key, Any], object]


def _create(site: Site, key: Key, command: CreateApiKey) -> NewApiKey:
    made, token = site.keys.create(
        command.account or key.account,
        command.scopes,
        site.clock(),
        name=command.name,
        ttl_s=command.ttl_s,
    )
    return NewApiKey(_shown(made, site), token)


def _list(site: Site, _: Key, __: ListApiKeys) -> tuple[ApiKey, ...]:
    return tuple(_shown(one, site) for one in site.keys.listed())


def _revoke(site: Site, _: Key, command: RevokeApiKey) -> ApiKey:
    return _shown(site.keys.revoke(command.key_id), site)


def _top_up(site: Site, _: Key, command: TopUpAccount) -> AccountBalance:
    known = {key.account for key in site.keys.listed()}
    if command.account not in known:
        raise NotFound(
            f"no key is for an account {command.account!r:.60}; there are keys for: "
            f"{', '.join(sorted(known))}",
            account=command.account,
        )
    account = from_thread.run(site.accounts.get, command.account)
    left = account.start(TopUp(command.nano_usd, command.operation)).wait()
    return AccountBalance(command.account, left)


def _shown(key: Key, site: Site) -> ApiKey:
    told = {field: getattr(key, field) for field in key.fields if field != "digest"}
    return ApiKey(**told, is_expired=key.is_over(site.clock()))


RULES: dict[type[Command[Any]], Rule] = {
    CreateApiKey: _create,
    ListApiKeys: _list,
    RevokeApiKey: _revoke,
    TopUpAccount: _top_up,
}


def offers() -> dict[str, Offer]:
    """What can be asked of the server, by path."""
    return {path_of(kind): Offer(path_of(kind), kind, ADMIN) for kind in RULES}


async def carry_out(site: Site, key: Key, command: Command[Any]) -> object:
    """Do it, on a thread that may wait for the store."""
    return await run_sync(RULES[type(command)], site, key, command)
