"""How a build learns where packages come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from apothic_backends.containers import indexes

NOWHERE = {"HOME": "/nowhere"}


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("RUN pip install a", 'RUN eval "$ftp_proxy"; pip install a'),
        ("run uv pip install a", 'run eval "$ftp_proxy"; uv pip install a'),
        (
            'RUN ["/bin/sh", "-c", "python3 -m pip install a"]',
            'RUN ["/bin/sh", "-c", "eval \\"$ftp_proxy\\"; python3 -m pip install a"]',
        ),
        ('RUN ["python3", "-m", "pip"]', 'RUN ["python3", "-m", "pip"]'),
        ("RUN echo pipes", "RUN echo pipes"),
        ("RUN --mount=type=cache pip install a", "RUN --mount=type=cache pip install a"),
        ("COPY pip /pip", "COPY pip /pip"),
    ],
)
def test_commands_that_install_read_it_and_no_others(line: str, read: str) -> None:
    assert indexes.reading(line) == read


def test_what_is_shown_is_what_was_written() -> None:
    text = 'RUN pip install a\nRUN ["/bin/sh", "-c", "pip install b"]\n'

    assert indexes.without_reading(indexes.reading(text)) == text


def test_proxies_are_given_in_both_spellings() -> None:
    given = indexes.arguments({**NOWHERE, "HTTPS_PROXY": "http://p:1"})

    assert given["https_proxy"] == given["HTTPS_PROXY"] == "http://p:1"


def test_settings_are_quoted_for_a_shell() -> None:
    given = indexes.arguments({**NOWHERE, "PIP_INDEX_URL": "https://a/$(id)"})

    assert "PIP_INDEX_URL='https://a/$(id)'" in given["ftp_proxy"]


def test_uv_gets_what_was_told_to_pip_in_its_own_words() -> None:
    found = indexes.settings_of({**NOWHERE, "PIP_INDEX_URL": "https://a"})

    assert found["UV_DEFAULT_INDEX"] == "https://a"


def test_places_on_the_disk_of_this_machine_are_left_out() -> None:
    env = {**NOWHERE, "PIP_EXTRA_INDEX_URL": "file:///a https://b /c", "UV_INDEX": "/d"}

    assert indexes.settings_of(env) == {"PIP_EXTRA_INDEX_URL": "https://b"}


def test_the_environment_counts_more_than_files_of_pip(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("[install]\nindex-url = https://a\ntrusted-host = h\n")
    env = {**NOWHERE, "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_INDEX_URL": "https://b"}

    found = indexes.settings_of(env)

    assert (found["PIP_INDEX_URL"], found["PIP_TRUSTED_HOST"]) == ("https://b", "h")


def test_a_file_that_is_none_of_pips_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_bytes(b"\xff\xfe no file of pip")
    env = {**NOWHERE, "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_INDEX_URL": "https://b"}

    assert indexes.settings_of(env)["PIP_INDEX_URL"] == "https://b"


def test_passwords_in_addresses_are_found() -> None:
    given = {"ftp_proxy": "export UV_INDEX='https://me:word@a/b'", "http_proxy": "http://p:1"}

    assert indexes.passwords(given) == ["me:word"]
