from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from apothic_backends.images import installing
from apothic_backends.images.installing import Tool, failed, run, shown, uses_uv
from apothic_backends.model.images import ImageBuildFailed

INDEX = "https://me:hunter2@packages.example/simple"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Sequence[str], Mapping[str, str]]]:
    """What would be run, and with which variables."""
    asked: list[tuple[Sequence[str], Mapping[str, str]]] = []
    monkeypatch.setattr(installing, "run", lambda command, env, _: asked.append((command, env)))
    return asked


@pytest.mark.parametrize(("has_uv", "name"), [(True, "UV_DEFAULT_INDEX"), (False, "PIP_INDEX_URL")])
def test_the_password_of_an_index_is_no_argument(
    monkeypatch: pytest.MonkeyPatch,
    commands: list[tuple[Sequence[str], Mapping[str, str]]],
    name: str,
    *,
    has_uv: bool,
) -> None:
    monkeypatch.setattr(installing, "uses_uv", lambda _: has_uv)

    Tool(Path("/venv/bin/python"), "pip_install").install(
        [f"--index-url={INDEX}", "rich"], {}, "pip_install rich"
    )

    command, env = commands[-1]
    assert "hunter2" not in " ".join(command)
    assert command[-1] == "rich"
    assert env[name] == INDEX


def test_the_addresses_of_a_recipe_come_beside_those_of_the_user(
    monkeypatch: pytest.MonkeyPatch, commands: list[tuple[Sequence[str], Mapping[str, str]]]
) -> None:
    monkeypatch.setattr(installing, "uses_uv", lambda _: False)

    Tool(Path("/venv/bin/python"), "pip_install").install(
        ["--extra-index-url=https://a", "--extra-index-url=https://b", "rich"],
        {"PIP_EXTRA_INDEX_URL": "https://own"},
        "step",
    )

    assert commands[-1][1]["PIP_EXTRA_INDEX_URL"] == "https://own https://a https://b"


def test_a_password_is_hidden_in_the_name_of_a_step() -> None:
    assert shown([f"--index-url={INDEX}"]) == "--index-url=https://***@packages.example/simple"


def test_a_password_is_hidden_in_what_a_tool_prints(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImageBuildFailed) as told:
        run(["sh", "-c", f"echo looking at {INDEX}; exit 1"], {"PATH": "/usr/bin:/bin"}, "step")

    assert "hunter2" not in capfd.readouterr().out + str(told.value)


def test_who_has_told_pip_where_packages_are_gets_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installing, "uv", lambda: "/usr/bin/uv")
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example")

    assert not uses_uv("pip_install")
    assert uses_uv("uv_pip_install")


def test_a_file_of_pip_counts_as_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(installing, "uv", lambda: "/usr/bin/uv")
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_text("[global]\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    assert not uses_uv("pip_install")


def test_without_uv_pip_does_what_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installing, "uv", lambda: None)

    assert not uses_uv("uv_pip_install")


@pytest.mark.parametrize(
    ("output", "about"),
    [
        ("ERROR: No matching distribution found for nowhere\n", "found for nowhere"),
        ("  x Failed to build `slow==1.0`\n", "Failed to build `slow==1.0`"),
        ("Because nowhere was not found in the registry\n", "nowhere was not found"),
        ("OSError: [Errno 28] No space left on device\n", "disk is full"),
        ("ERROR: something else\n", "something else"),
    ],
)
def test_what_went_wrong_stands_in_the_first_line(output: str, about: str) -> None:
    assert about in failed("pip_install x", output).message.splitlines()[0]


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(ImageBuildFailed, match="/nowhere/uv cannot be run"):
        run(["/nowhere/uv"], {}, "step")


def test_only_the_end_of_much_output_goes_with_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImageBuildFailed) as told:
        run(["sh", "-c", "seq 1 500; exit 1"], {"PATH": "/usr/bin:/bin"}, "step")

    assert told.value.data["output"].splitlines()[0] == "461"
    assert capfd.readouterr().out.splitlines()[0] == "1"
