"""API keys: who may ask, for which account, for what, and until when.

    apk_1f2e3d4c5b6a_<43 characters>
        │             └ the secret, 256 bits: seen once, when the key is made
        └ the key's id, by which it is listed and revoked

Of a token only its SHA-256 is kept. A key is durable before its token is shown, and gone from the
store before it is said to be revoked.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import threading
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any

from apothic_backends.model.errors import InvalidOption, NotFound
from apothic_backends.model.names import is_name
from apothic_backends.model.record import Record
from apothic_emulator.server.scopes import SCOPES
from apothic_emulator.stores.store import Store

ACCOUNT = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
MOST_TTL_S = 10 * 366 * 86400.0
TOKEN = re.compile(r"apk_[0-9a-f]{12}_[A-Za-z0-9_-]{43}")
_CHANGING = frozenset({"admin", "run"})
_PREFIX = "keys/"
_MOST_TOKEN = 128


class Key(Record):
    """A key without its secret. Times are Unix seconds; without `expires_at` it holds for ever."""

    key_id: str
    account: str
    scopes: tuple[str, ...]
    name: str
    created_at: float
    digest: str
    expires_at: float | None = None

    def is_over(self, now: float) -> bool:
        """Whether it has expired."""
        return self.expires_at is not None and now >= self.expires_at

    @property
    def may_change(self) -> bool:
        """Whether more than looking is allowed."""
        return not _CHANGING.isdisjoint(self.scopes)

    def __repr__(self) -> str:
        """Who it is, and nothing of what it is made from."""
        return f"<Key {self.key_id} of {self.account}>"


class Keys:
    """All keys of a server, in memory and in its own namespace of the store."""

    def __init__(self, store: Store) -> None:
        """Over a store that is open."""
        self._store = store
        self._writing = threading.Lock()
        self._keys = {key.key_id: key for key in _kept(store.load())}
        self.on_revoked: Callable[[str], object] = bool
        """Told the id of each key that is revoked, on the revoking thread."""

    def __len__(self) -> int:
        """How many keys there are, expired ones too."""
        return len(self._keys)

    def find(self, token: str, now: float) -> Key | None:
        """The key that a token stands for, if it holds."""
        key_id = _id_in(token)
        key = self._keys.get(key_id) if key_id is not None else None
        given = _digest(token[:_MOST_TOKEN]).encode()
        held = key.digest.encode() if key is not None else bytes(len(given))
        if not hmac.compare_digest(given, held) or key is None or key.is_over(now):
            return None
        return key

    def create(
        self,
        account: str,
        scopes: Iterable[str],
        now: float,
        *,
        name: str = "",
        ttl_s: float | None = None,
    ) -> tuple[Key, str]:
        """Make a key, and its token, which is seen here and never again.

        Raises:
            InvalidOption: there can be no such key.
            StoreError: it cannot be kept; then there is none.
        """
        asked = tuple(dict.fromkeys(scopes))
        _check(account, asked, name, ttl_s)
        token = new_token()
        until = None if ttl_s is None else now + ttl_s
        key = Key(token[4:16], account, asked, name, now, _digest(token), until)
        self._keep(key, now)
        return key, token

    def adopt(
        self, token: str, account: str, scopes: tuple[str, ...], now: float, *, name: str
    ) -> Key:
        """The key that a token stands for which was made elsewhere; from now on it holds.

        Others of that name hold no more.

        Raises:
            InvalidOption: that is no token.
            StoreError: it cannot be kept.
        """
        if not TOKEN.fullmatch(token):
            raise InvalidOption("what was given as a key is none", option=name)
        found = self.find(token, now)
        if found is None:
            found = Key(token[4:16], account, scopes, name, now, _digest(token))
            self._keep(found, now)
        for other in self.listed():
            if (other.account, other.name) == (account, name) and other.key_id != found.key_id:
                self.revoke(other.key_id)
        return found

    def _keep(self, key: Key, now: float) -> None:
        with self._writing:
            self._store.commit([(_PREFIX + key.key_id, _record(key)), *self._expired(now)])
            self._keys[key.key_id] = key

    def revoke(self, key_id: str) -> Key:
        """Have a key hold no more; whatever goes on under it ends.

        Raises:
            NotFound: there is no such key.
            StoreError: that cannot be kept; then it holds as before.
        """
        with self._writing:
            key = self._keys.get(key_id)
            if key is None:
                raise NotFound(f"there is no key {key_id!r}", key_id=key_id)
            self._store.commit([(_PREFIX + key_id, None)])
            del self._keys[key_id]
        self.on_revoked(key_id)
        return key

    def listed(self) -> list[Key]:
        """Every key, the oldest first."""
        return sorted(self._keys.values(), key=lambda key: (key.created_at, key.key_id))

    def is_known(self, key_id: str) -> bool:
        """Whether a key was not revoked."""
        return key_id in self._keys

    def _expired(self, now: float) -> list[tuple[str, bytes | None]]:
        """What expired a day ago or before is forgotten, so that join tokens do not pile up."""
        old = [key.key_id for key in self._keys.values() if key.is_over(now - 86400.0)]
        for key_id in old:
            del self._keys[key_id]
        return [(_PREFIX + key_id, None) for key_id in old]


def new_token() -> str:
    """A token that nobody else has."""
    return f"apk_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"


def _check(account: str, scopes: tuple[str, ...], name: str, ttl_s: float | None) -> None:
    if not ACCOUNT.fullmatch(account):
        raise InvalidOption(
            f"an account is 1 to 40 of a-z, 0-9 and '-', not {account!r:.60}", option="account"
        )
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise InvalidOption(
            f"a key has one or more of the scopes {', '.join(SCOPES)}, not {unknown!r:.100}",
            option="scopes",
        )
    if name and not is_name(name):
        raise InvalidOption(
            f"the name of a key is up to 64 of A-Z, a-z, 0-9, '.', '_' and '-', not {name!r:.80}",
            option="name",
        )
    if ttl_s is not None and not 0 < ttl_s <= MOST_TTL_S:
        raise InvalidOption(
            f"ttl_s is more than 0 and at most {MOST_TTL_S:g} seconds, not {ttl_s:g}",
            option="ttl_s",
        )


def _id_in(token: str) -> str | None:
    """The id in what may be a token."""
    if len(token) > _MOST_TOKEN or not token.startswith("apk_"):
        return None
    key_id, separator, _ = token[4:].partition("_")
    return key_id if separator else None


def _digest(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _record(key: Key) -> bytes:
    return json.dumps({field: getattr(key, field) for field in key.fields}).encode()


def _kept(records: Iterable[tuple[str, bytes]]) -> Iterable[Key]:
    for name, record in records:
        if name.startswith(_PREFIX):
            told: dict[str, Any] = json.loads(record)
            told["scopes"] = tuple(told["scopes"])
            yield Key(**told)
