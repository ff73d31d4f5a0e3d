"""What is shipped of a project, and what is not."""

from __future__ import annotations

import io
import os
import socket
import subprocess
from pathlib import Path

import pytest

from apothic import InvalidOption, PackageRefused, _listing, packaging
from apothic.packaging import Package, package_of


def write(root: Path, *paths: str, text: str = "") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text or path)


def git(root: Path, *words: str) -> None:
    """Run git there, also where these tests run below git itself, as in `git rebase --exec`."""
    who = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
    env = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    env["GIT_CEILING_DIRECTORIES"] = str(root.parent)
    command = ["git", "-C", str(root), *who, *words]
    subprocess.run(command, check=True, capture_output=True, env=env)


@pytest.fixture(params=["git", "no git"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An empty project, of both kinds."""
    root = tmp_path / "project"
    root.mkdir()
    if request.param == "git":
        git(root, "init", "-q")
    return root


@pytest.fixture
def work_tree(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q")
    return root


def paths(package: Package) -> list[str]:
    return [file.path for file in package.files]


def shipped(root: Path) -> list[str]:
    return paths(package_of(root))


def test_the_files_of_a_project_are_shipped(project: Path) -> None:
    write(project, "app.py", "pkg/deep/mod.py", "data/é x.csv")

    assert shipped(project) == ["app.py", "data/é x.csv", "pkg/deep/mod.py"]


def test_what_is_ignored_is_not_shipped(project: Path) -> None:
    write(project, "app.py", "a.log", "keep.log", "out/x", "pkg/b.log", "pkg/c.tmp", "pkg/d.tmp")
    write(project, ".gitignore", text="*.log\n!keep.log\n/out/\n")
    write(project, "pkg/.gitignore", text="*.tmp\n!d.tmp\n!b.log\n")

    found = [path for path in shipped(project) if not path.endswith(".gitignore")]
    assert found == ["app.py", "keep.log", "pkg/b.log", "pkg/d.tmp"]


def test_a_deeper_ignore_file_cannot_bring_back_an_ignored_folder(project: Path) -> None:
    write(project, "app.py", "out/x")
    write(project, ".gitignore", text="out/\n")
    write(project, "out/.gitignore", text="!x\n")

    assert shipped(project) == [".gitignore", "app.py"]


def test_what_is_tracked_is_shipped_though_it_is_ignored(work_tree: Path) -> None:
    write(work_tree, "tracked.log", "other.log", "node_modules/kept.js")
    git(work_tree, "add", "-f", ".")
    git(work_tree, "rm", "-q", "--cached", "other.log")
    write(work_tree, ".gitignore", text="*.log\n")

    assert shipped(work_tree) == [".gitignore", "node_modules/kept.js", "tracked.log"]


def test_what_was_deleted_is_not_shipped(work_tree: Path) -> None:
    write(work_tree, "app.py", "gone.py", "folder/gone.py")
    git(work_tree, "add", ".")
    (work_tree / "gone.py").unlink()
    (work_tree / "folder/gone.py").unlink()
    (work_tree / "folder").rmdir()
    write(work_tree, "folder")

    assert shipped(work_tree) == ["app.py", "folder"]


def test_what_is_made_anew_everywhere_is_not_shipped(project: Path) -> None:
    write(
        project, "app.py", "__pycache__/app.cpython-311.pyc", "node_modules/x.js", "env/pyvenv.cfg"
    )
    write(project, "env/lib/x.py", ".venv/lib/y.py", "x.egg-info/PKG-INFO", ".mypy_cache/x")

    assert shipped(project) == ["app.py"]


@pytest.mark.parametrize(
    "path", [".env", "deep/.env", ".env.local", ".ssh/id_rsa", ".netrc", ".aws/x"]
)
def test_secrets_are_never_shipped(project: Path, path: str) -> None:
    write(project, "app.py", path)
    write(project, "pyproject.toml", text='[tool.apothic]\ninclude = ["*", ".env*", "**/.env"]\n')
    if (project / ".git").exists():
        git(project, "add", "-f", ".")
    package = package_of(project)

    assert paths(package) == ["app.py", "pyproject.toml"]
    assert package.left_out in ({path: "never shipped"}, {})


def test_an_example_of_an_environment_is_shipped(project: Path) -> None:
    write(project, ".env.example")

    assert shipped(project) == [".env.example"]


def test_git_and_our_own_state_are_not_shipped(project: Path) -> None:
    write(project, "app.py", ".apothic/state/default/state.db", "inner/mod.py")
    git(project / "inner", "init", "-q")

    assert shipped(project) == ["app.py", "inner/mod.py"]


def test_a_repository_inside_has_its_own_rules(work_tree: Path) -> None:
    write(work_tree, "app.py", "inner/mod.py", "inner/x.log", "inner/sub/y.log")
    git(work_tree / "inner", "init", "-q")
    write(work_tree / "inner", ".gitignore", text="*.log\n")
    git(work_tree / "inner", "add", ".")
    git(work_tree / "inner", "commit", "-qm", "one")
    git(work_tree, "add", "-f", "inner")

    assert shipped(work_tree) == ["app.py", "inner/.gitignore", "inner/mod.py"]


def test_a_project_that_the_repository_around_it_ignores_is_shipped(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, ".gitignore", text="scratch/\n")
    write(tmp_path, "scratch/app.py")

    assert shipped(tmp_path / "scratch") == ["app.py"]


def test_only_what_is_below_the_project_is_shipped(work_tree: Path) -> None:
    write(work_tree, "above.py", "sub/app.py")

    assert shipped(work_tree / "sub") == ["app.py"]


def test_where_git_is_not_installed_its_files_are_read_all_the_same(
    work_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(work_tree, "app.py", "x.log")
    write(work_tree, ".gitignore", text="*.log\n")
    monkeypatch.setenv("PATH", "")

    assert shipped(work_tree) == [".gitignore", "app.py"]


def test_a_work_tree_that_git_cannot_read_is_refused(work_tree: Path) -> None:
    write(work_tree, "app.py")
    (work_tree / ".git/index").write_bytes(b"garbage")

    with pytest.raises(PackageRefused, match="git cannot list"):
        package_of(work_tree)


def test_another_repository_in_the_environment_has_no_say(
    work_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(work_tree, "app.py")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "none"))

    assert shipped(work_tree) == ["app.py"]


def test_a_user_can_leave_out_and_take_in(project: Path) -> None:
    write(project, "app.py", "big.csv", "small.csv", "model.bin", "notes.md", "deep/model.bin")
    write(project, ".gitignore", text="*.bin\n")
    write(project, ".apothicignore", text="*.csv\n!small.csv\n")
    toml = '[tool.apothic]\ninclude = ["/model.bin", "big.csv"]\nexclude = ["*.md", ".*ignore"]\n'
    write(project, "pyproject.toml", text=toml)
    package = package_of(project)

    assert paths(package) == ["app.py", "model.bin", "pyproject.toml", "small.csv"]
    assert package.left_out.keys() == {".apothicignore", ".gitignore", "big.csv", "notes.md"}


@pytest.mark.parametrize("value", ['"*.csv"', "[1]", "{}", "7"])
def test_patterns_are_a_list_of_texts(project: Path, value: str) -> None:
    write(project, "pyproject.toml", text=f"[tool.apothic]\nexclude = {value}\n")

    with pytest.raises(InvalidOption, match="exclude"):
        package_of(project)


# --- links and others ---------------------------------------------------------------------------


def test_a_link_to_what_is_shipped_becomes_a_file(project: Path) -> None:
    write(project, "a/real.py", "a/deep/x.py")
    (project / "link.py").symlink_to("a/real.py")
    (project / "absolute.py").symlink_to(project / "a/real.py")
    (project / "b").symlink_to("a")
    package = package_of(project)
    out = io.BytesIO()
    package.write(out)

    assert paths(package) == [
        *("a/deep/x.py", "a/real.py", "absolute.py", "b/deep/x.py", "b/real.py", "link.py")
    ]
    assert out.getvalue().count(b"a/real.py") == 1 + 4


@pytest.mark.parametrize(
    "target", ["/", "/etc/passwd", "..", "../outside.txt", ".", ".env", "x.log"]
)
def test_a_link_to_what_is_not_shipped_is_refused(project: Path, target: str) -> None:
    write(project, "app.py", "../outside.txt", ".env", "x.log")
    write(project, ".gitignore", text="x.log\n")
    (project / "link").symlink_to(target)

    with pytest.raises(PackageRefused, match="link") as refused:
        package_of(project)
    assert refused.value.data["files"] == ["link"]
    write(project, ".apothicignore", text="link\n")
    assert "link" not in shipped(project)


def test_every_link_that_is_refused_is_named(project: Path) -> None:
    for number in range(7):
        (project / f"l{number}").symlink_to("/etc/passwd")

    with pytest.raises(PackageRefused, match="l4 and 2 more"):
        package_of(project)


def test_a_link_that_leads_to_nothing_is_left_out(project: Path) -> None:
    (project / "dangling").symlink_to("nowhere")
    (project / "circle").symlink_to("circle")
    package = package_of(project)

    assert paths(package) == []
    assert package.left_out["dangling"] == "leads to nothing"


def test_sockets_and_pipes_are_not_shipped(project: Path) -> None:
    write(project, "app.py")
    os.mkfifo(project / "pipe")
    here = Path.cwd()
    os.chdir(project)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    os.chdir(here)

    assert shipped(project) == ["app.py"]


def test_a_home_directory_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for root in (tmp_path, Path("/")):
        with pytest.raises(PackageRefused, match="no project"):
            package_of(root)


def test_too_much_is_refused_by_name(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project, "small.py", "b.bin", text="x")
    write(project, "a.bin", text="x" * 5000)
    monkeypatch.setattr(packaging, "MOST_BYTES", 4000)
    with pytest.raises(PackageRefused, match=r"a\.bin") as refused:
        package_of(project)

    assert refused.value.data["files"][0] == "a.bin"
    monkeypatch.setattr(packaging, "MOST_BYTES", 1 << 30)
    monkeypatch.setattr(packaging, "MOST_FILES", 2)
    with pytest.raises(PackageRefused, match="3 files"):
        package_of(project)


def test_an_unreadable_ignore_file_is_told(project: Path) -> None:
    (project / ".apothicignore").mkdir()

    with pytest.raises(PackageRefused, match="cannot be read"):
        package_of(project)


def test_the_size_of_a_package_is_that_of_its_files(project: Path) -> None:
    write(project, "a", text="12345")
    write(project, "b", text="123")
    package = package_of(project)

    assert package.nbytes == 8
    assert [file.size for file in package.files] == [5, 3]


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(PackageRefused, match="cannot be read"):
        _listing.own_files(tmp_path / "missing")
