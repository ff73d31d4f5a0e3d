"""What the image of machines has in it for which nobody names one."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from apothic_backends.containers import standard


def test_it_has_what_control_planes_and_agents_need_in_the_versions_that_are_here() -> None:
    needs = standard._needs()

    assert f"click=={metadata.version('click')}" in needs
    assert f"uvicorn=={metadata.version('uvicorn')}" in needs  # of the extra server
    assert f"psycopg[binary]=={metadata.version('psycopg')}" in needs


def test_what_only_others_need_is_not_in_it() -> None:
    told = ["docker>=7; extra == 'docker'", "tzdata; sys_platform == 'win32'", "never-heard-of>=2"]

    assert [*standard._wanted(told)] == ["never-heard-of>=2"]


def test_its_commands_and_backends_are_known_there(tmp_path: Path) -> None:
    standard._describe(tmp_path)
    (its,) = metadata.distributions(path=[str(tmp_path)])

    assert its.version == metadata.version("apothic")
    assert {"agent", "serve"} <= {
        it.name for it in its.entry_points.select(group="apothic.commands")
    }
