from __future__ import annotations

from pathlib import Path

import pytest

from apothic_backends.model.errors import StoreCorrupt
from apothic_emulator.stores.opening import open_store


def refused(url: str, folder: Path) -> str:
    with pytest.raises(StoreCorrupt) as caught:
        open_store(url, folder).open()
    return str(caught.value)


def test_a_damaged_namespace_is_sent_to_the_commands_that_mend_it(tmp_path: Path) -> None:
    folder = tmp_path / ".apothic" / "state" / "default"
    folder.mkdir(parents=True)
    (folder / "state.db").write_text("no database, however one looks at it")

    assert "`apothic state load`" in refused("sqlite", folder)


def test_commands_that_cannot_help_are_not_named(tmp_path: Path) -> None:
    (tmp_path / "my.db").write_text("no database, however one looks at it")

    message = refused(f"sqlite:{tmp_path / 'my.db'}", tmp_path)

    assert "apothic state" not in message
    assert "Put a copy of it back" in message
