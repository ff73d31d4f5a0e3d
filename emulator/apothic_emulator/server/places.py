"""Where a server keeps what: one store for itself, and one for each account.

| URL                         | the server's own          | of an account                |
|-----------------------------|---------------------------|------------------------------|
| `memory`                    | nowhere                   | nowhere                      |
| `sqlite`                    | FOLDER/own/state.db       | FOLDER/accounts/NAME/state.db|
| `sqlite:PATH`               | the same below PATH       |                              |
| `surrealkv://PATH`          | PATH/own                  | PATH/accounts/NAME           |
| `postgresql://…`            | the namespace `server`    | the namespace `account.NAME` |
| `surrealdb+ws://host/ns/db` | the database DB_server    | the database DB_account_NAME |
"""

from __future__ import annotations

from pathlib import Path

from apothic_emulator.stores.opening import open_store
from apothic_emulator.stores.store import Store

OWN = "server"


def store_of(url: str, folder: Path, account: str | None = None) -> Store:
    """The store of an account, or the server's own, not opened yet.

    Raises:
        InvalidOption: the URL names no store that there is.
    """
    name = OWN if account is None else f"account.{account}"
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite":
        below = _below(Path(rest).expanduser().absolute() if rest else folder, account)
        return open_store("sqlite", below, name)
    if scheme == "surrealkv" and rest.strip("/"):
        below = _below(Path(rest.removeprefix("//")).expanduser().absolute(), account)
        return open_store(f"surrealkv://{below}", below, name)
    if scheme in ("surrealdb+ws", "surrealdb+wss"):
        suffix = OWN if account is None else f"account_{account.replace('-', '_0')}"
        return open_store(f"{url.rstrip('/')}_{suffix}", folder, name)
    return open_store(url, folder, name)


def _below(root: Path, account: str | None) -> Path:
    """A folder of that account's, for nobody else to read."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    below = root / "own" if account is None else root / "accounts" / account
    for place in (below.parent, below):
        place.mkdir(mode=0o700, exist_ok=True)
    return below
