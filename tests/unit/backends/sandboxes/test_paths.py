"""Paths that users write: what is beneath the workspace, and what is refused as text."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from apothic_backends.model.errors import PathRefused
from apothic_backends.sandboxes.paths import beneath, shown


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/workspace", ""),
        ("/workspace/", ""),
        ("", ""),
        (".", ""),
        ("/workspace/a/b.py", "a/b.py"),
        ("/workspace//a/./b.py/", "a/b.py"),
        ("a/b.py", "a/b.py"),
        ("/workspace/~", "~"),
        ("/workspace/-rf", "-rf"),
        ("/workspace/ö\n\udcff", "ö\n\udcff"),
    ],
)
def test_a_path_is_beneath_the_workspace(path: str, found: str) -> None:
    assert beneath(path, "/workspace") == found


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "/",
        "a/../../b",
        "a/..",
        "/workspace/../etc/passwd",
        "..\\..\\x",
        "a\\..\\..\\x",
        "%2e%2e/x",
        "a/%2E%2e%2fx",
        "C:x",
        "C:\\x",
        "//host/x",
        "//workspace/x",
        "/workspace-evil/x",
        "/workspac/x",
        "a\0b",
        "~",
        "~root/x",
        "\ud800",
        "a" * 256,
        "a/" * 2048 + "a",
    ],
)
def test_what_leads_elsewhere_or_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(PathRefused):
        beneath(path, "/workspace")


@given(st.text())
def test_no_text_is_a_path_that_climbs(path: str) -> None:
    try:
        found = beneath(path, "/workspace")
    except PathRefused:
        return

    assert not found.startswith("/")
    assert not {"..", "."} & set(found.split("/"))
    assert beneath(shown(found, "/workspace"), "/workspace") == found
