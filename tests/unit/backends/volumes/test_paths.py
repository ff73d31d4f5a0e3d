from __future__ import annotations

import pytest

from apothic_backends.model.errors import InvalidOption, PathRefused
from apothic_backends.volumes.paths import check_name, follow, inside


@pytest.mark.parametrize(
    "path",
    [
        *("../../etc/passwd", "a/../../b", "..", "a/..", "..\\..", "a\\..\\b", "%2e%2e/x", "a%2Fb"),
        *("C:x", "c:\\x", "//host/x", "a\0b", "~", "~root/x", "x" * 256),
    ],
)
def test_a_path_that_leads_elsewhere_here_or_on_another_system_is_refused(path: str) -> None:
    with pytest.raises(PathRefused):
        inside(path)


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        *(("/", ""), ("", ""), (".", ""), ("/a/b", "a/b"), ("a//./b/", "a/b"), ("a b\n", "a b\n")),
        *(("..a/b..", "..a/b.."), ("x" * 255, "x" * 255)),
    ],
)
def test_a_path_inside_is_known_without_what_means_nothing(path: str, clean: str) -> None:
    assert inside(path) == clean


@pytest.mark.parametrize("name", ["", "-a", ".a", "a/b", "a b", "x" * 65, "..", "é", "a\n"])
def test_the_name_of_a_volume_is_a_plain_word(name: str) -> None:
    with pytest.raises(InvalidOption):
        check_name(name)


LINKS = {"l": "d", "d/up": "..", "out": "..", "d/deep": "../..", "round": "round", "abs": "/etc"}


@pytest.mark.parametrize(
    ("path", "end"), [("l/x", "d/x"), ("d/up/l/x", "d/x"), ("a/b", "a/b"), ("l/new/x", "d/new/x")]
)
def test_links_are_followed_inside(path: str, end: str) -> None:
    assert follow(path, LINKS.get) == end


@pytest.mark.parametrize(
    "path", ["out/x", "d/deep/x", "d/up/../x", "abs/passwd", "round", "l/deep"]
)
def test_links_that_lead_out_or_in_a_circle_are_refused(path: str) -> None:
    with pytest.raises(PathRefused):
        follow(path, LINKS.get)


def test_the_last_link_is_itself_where_that_is_meant() -> None:
    assert follow("out", LINKS.get, last=False) == "out"
