"""What was told to pip, in words for uv."""

from __future__ import annotations

from pathlib import Path

from apothic_backends.images import pip

NOWHERE = {"HOME": "/nowhere"}


def test_uv_takes_packages_from_where_pip_does(tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex-url = https://a\nextra-index-url =\n  https://b\n  https://c\n"
        "find-links = /d /e\n"
    )

    found = pip.for_uv({**NOWHERE, "PIP_CONFIG_FILE": str(file), "PIP_NO_INDEX": "1"})

    assert found.items() >= {
        ("UV_DEFAULT_INDEX", "https://a"),
        ("UV_INDEX", "https://b https://c"),
        ("UV_FIND_LINKS", "/d,/e"),
        ("UV_NO_INDEX", "1"),
    }


def test_what_was_told_to_uv_itself_counts_alone(tmp_path: Path) -> None:
    told = {**NOWHERE, "PIP_INDEX_URL": "https://a"}
    (tmp_path / "uv").mkdir()
    (tmp_path / "uv" / "uv.toml").touch()

    assert pip.for_uv({**told, "UV_INDEX": "https://b"}) == {}
    assert pip.for_uv({**told, "XDG_CONFIG_HOME": str(tmp_path)}) == {}


def test_a_variable_that_uv_has_stays_as_it_is() -> None:
    told = {**NOWHERE, "PIP_CERT": "/theirs", "SSL_CERT_FILE": "/mine"}

    assert "SSL_CERT_FILE" not in pip.for_uv(told)
