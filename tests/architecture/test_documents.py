"""What the documents name is there: files, sections, commands and their options."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

from apothic.cli.program import program

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/*.md")),
    *(ROOT / "backends/README.md", ROOT / "emulator/README.md", ROOT / "benchmarks/README.md"),
]
NAMED = re.compile(r"`([\w./]+(?:\.py|\.md|/))`")
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
BLOCK = re.compile(r"^```(?:sh|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)

PROGRAM = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def named(path: Path) -> str:
    """A document, in the name of a test."""
    return str(path.relative_to(ROOT))


def is_there(name: str) -> bool:
    """Whether some file or folder of the tree has a path that ends so."""
    return any(ROOT.glob(f"{pattern}{name}") for pattern in ("", "*/", "*/*/", "*/*/*/"))


def anchor(heading: str) -> str:
    """How a link names a section."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def is_section(document: Path, link: tuple[str, str]) -> bool:
    """Whether a link of a document leads to a file, and to a section of it if it names one."""
    path, section = link
    target = document.parent / path if path else document
    if not section:
        return target.exists()
    return section in map(anchor, HEADING.findall(target.read_text("utf-8")))


def commands(text: str) -> list[list[str]]:
    """The command lines of ours that a document has people type, without what comments say."""
    lines = "\n".join(BLOCK.findall(text)).replace("\\\n", " ").split("\n")
    pieces = (piece for line in lines for piece in re.split(r"; | \| ", line.split(" # ")[0]))
    typed = (re.sub(r"^(?:\w+=\S* )*(?:KEY=)?", "", it.strip(" $()")) for it in pieces)
    return [shlex.split(it.replace("'", '"'))[1:] for it in typed if it.startswith("apothic ")]


def wrong(words: list[str]) -> str:
    """What of a command line there is not."""
    command: click.Command = program
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            return words[0]
        command, words = found, words[1:]
    known = {name for it in (command, program) for param in it.params for name in param.opts}
    known |= {name for param in command.params for name in param.secondary_opts} | {"--help", "--"}
    is_open = command.ignore_unknown_options or command.name == "run"
    end = next((i for i, it in enumerate(words) if is_open and ".py" in it), len(words))
    given = (it.split("=")[0].strip("[]") for it in words[:end])
    return " ".join(it for it in given if it.startswith("-") and len(it) > 1 and it not in known)


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    names = set(NAMED.findall(document.read_text("utf-8")))

    assert [name for name in sorted(names) if not is_there(name)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_link_between_documents_leads_to_a_section(document: Path) -> None:
    links = LINK.findall(document.read_text("utf-8"))

    assert [link for link in links if not is_section(document, link)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_command_that_a_document_has_people_type_is_one(document: Path) -> None:
    typed = commands(document.read_text("utf-8"))

    assert [(" ".join(it), wrong(it)) for it in typed if wrong(it)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_program_of_a_document_is_python_and_imports_what_there_is(document: Path) -> None:
    trees = [ast.parse(it) for it in PROGRAM.findall(document.read_text("utf-8"))]
    imports = [
        ast.unparse(it)
        for tree in trees
        for it in ast.walk(tree)
        if isinstance(it, ast.Import | ast.ImportFrom)
    ]

    exec("\n".join(imports), {})


def test_every_guide_is_named_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text("utf-8")

    assert [it.name for it in ROOT.glob("docs/*.md") if f"(docs/{it.name})" not in text] == []
