"""What the README has newcomers do; in a browser, where there is one."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.integration.dev.browser import CHROMIUM, browsing
from tests.integration.dev.developed import Project, developing

TOP = Path(__file__).parents[3]
EXAMPLE = Path("examples", "page.py")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """With the example, as in a copy of the repository."""
    project = Project(tmp_path)
    (project.root / "examples").mkdir()
    (project.root / EXAMPLE).write_text((TOP / EXAMPLE).read_text("utf-8"), "utf-8")
    return project


def edit(project: Project, title: str) -> None:
    """Change the title as a person does."""
    text = (project.root / EXAMPLE).read_text("utf-8")
    project.save("", re.sub('TITLE = ".*"', f'TITLE = "{title}"', text), str(EXAMPLE))


def commands() -> list[list[str]]:
    """The lines of the section that are typed."""
    section = (TOP / "README.md").read_text("utf-8").split("## While you write it")[1]
    blocks = re.findall(r"^```sh\n(.*?)^```", section.split("\n## ")[0], re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in re.split(r"\n|; ", block.strip())]
    return [shlex.split(line)[1:] for line in lines if line.startswith("apothic ")]


def test_the_example_is_edited_and_asked_from_another_terminal(project: Project) -> None:
    dev_line, run_line, *looks = commands()
    assert dev_line == ["dev", str(EXAMPLE)]
    with developing(project, "--port", "0", target=str(EXAMPLE)) as dev:
        dev.until("up", name="page", version=1)
        before, urls = dev.ask(), dict(dev.urls)
        assert "<h1>Hello</h1>" in before
        edit(project, "Welcome")
        assert dev.until("deployed", version=2)["changed"] == str(EXAMPLE)
        dev.until_it_answers(before.replace("Hello", "Welcome"))
        assert dev.urls == urls

        done = project.cli(*run_line, "--json")
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert [it["data"]["value"] for it in events if it["event"] == "job.result"] == ["HELLO"]
        for line in looks:
            assert project.cli(*line).returncode == 0


if CHROMIUM is not None:

    def test_a_page_that_is_open_shows_what_was_saved(project: Project, tmp_path: Path) -> None:
        with developing(project, "--port", "0", target=str(EXAMPLE)) as dev:
            dev.until("up", name="page", version=1)
            with browsing(dev.urls["page"], tmp_path / "browser") as page:
                page.until("document.querySelector('h1').textContent", "Hello")
                page.until("document.querySelector('output').value > 0", True)
                edit(project, "Welcome")

                page.until("document.querySelector('h1').textContent", "Welcome")
                page.picture(tmp_path / "page.png")
