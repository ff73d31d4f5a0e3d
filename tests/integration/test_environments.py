"""Programs in unusual surroundings: their workers see what they see, and start all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAD = "from apothic import App\napp = App('surroundings')\n"
SHADOWS = ("child", "calls", "wire", "orders", "preload", "output", "termios", "this")


def program(folder: Path, body: str, *flags: str, **options: object) -> str:
    """Run a script as its user would; gives what it printed."""
    script = folder / "script.py"
    script.write_text(HEAD + body)
    done = subprocess.run(
        [sys.executable, *flags, str(script)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        **{"cwd": folder, **options},  # type: ignore[call-overload]
    )
    assert (done.returncode, done.stderr) == (0, "")
    return str(done.stdout).strip()


def ask(expression: str, *imports: str) -> str:
    """A script that prints what an expression gives in a worker, beside what it gives here."""
    return (
        "".join(f"import {name}\n" for name in imports)
        + f"@app.function()\ndef ask(): return {expression}\n"
        + "if __name__ == '__main__': print(ask.remote() == ask(), ask.remote())\n"
    )


@pytest.mark.parametrize("name", ["backends", "emulator", "apothic_core", "executors"])
def test_a_folder_named_like_ours_beside_the_script_is_the_users(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("OWNER = 'user'\n")

    assert program(tmp_path, ask(f"{name}.OWNER", name)) == "True user"


@pytest.mark.parametrize("name", SHADOWS)
def test_a_module_named_like_one_of_ours_is_the_users(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text("OWNER = 'user'\n")
    if name == "termios":
        (tmp_path / f"{name}.py").write_text("from _pyrepl_or_nothing import *\n")
        assert program(tmp_path, ask("1")) == "True 1"
    else:
        assert program(tmp_path, ask(f"{name}.OWNER", name)) == "True user"


@pytest.mark.parametrize(
    "expression",
    [
        "sys.prefix",
        "sys.exec_prefix",
        "sys.executable",
        "sys.path",
        "os.getcwd()",
        "sys.flags.dev_mode",
    ],
)
def test_a_worker_has_the_same(tmp_path: Path, expression: str) -> None:
    assert program(tmp_path, ask(expression, "sys", "os")).startswith("True")


@pytest.mark.parametrize(
    "flags", [("-X", "dev", "-W", "error"), ("-O",), ("-E",), ("-I",), ("-bb",)]
)
def test_interpreter_options_hold_in_workers_and_nothing_complains(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    body = ask("(sys.flags.dev_mode, sys.flags.optimize, sys.flags.bytes_warning)", "sys")

    assert program(tmp_path, body, *flags).startswith("True")


def test_pythonpath_holds_in_workers(tmp_path: Path) -> None:
    lib = tmp_path / "lib"
    lib.mkdir()
    (lib / "mine.py").write_text("def where(): return __name__\n")

    text = program(
        tmp_path, ask("mine.where()", "mine"), env={**os.environ, "PYTHONPATH": str(lib)}
    )
    assert text == "True mine"


def test_relative_entries_of_sys_path_hold_in_workers(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "mine.py").write_text("def where(): return __name__\n")

    body = "import sys\nsys.path.insert(0, 'lib')\n" + ask("mine.where()", "mine")
    assert program(tmp_path, body) == "True mine"


def test_exit_and_help_are_there(tmp_path: Path) -> None:
    assert program(tmp_path, ask("callable(exit) and callable(help)")) == "True True"


def test_a_deleted_working_directory_is_no_obstacle(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    body = f"import os\nos.rmdir({str(gone)!r})\n" + ask("1 + 1")

    assert program(tmp_path, body, cwd=gone) == "True 2"


def test_import_hooks_of_editable_installs_hold_in_workers(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    site.mkdir()
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "mine.py").write_text("def where(): return 'hook'\n")
    (site / "__editable___mine_finder.py").write_text(f"""
import sys
from importlib.util import spec_from_file_location
class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == "mine":
            return spec_from_file_location(name, {str(tmp_path / "source" / "mine.py")!r})
def install(): sys.meta_path.append(Finder)
""")
    (site / "mine.pth").write_text(
        "import __editable___mine_finder; __editable___mine_finder.install()\n"
    )
    body = f"import site\nsite.addsitedir({str(site)!r})\n" + ask("mine.where()", "mine")

    assert program(tmp_path, body) == "True hook"


PRELOADING = """
import os, sys, time
import installed
@app.function()
def look(): return os.getpid(), os.getppid(), "installed" in sys.modules
if __name__ == "__main__":
    pid, first, _ = look.remote()
    deadline, parent = time.monotonic() + 20, first
    while parent == first:
        os.kill(pid, 9)
        while os.path.exists(f"/proc/{pid}"): time.sleep(0.001)
        pid, parent, is_there = look.remote()
        assert time.monotonic() < deadline, "nobody took over"
    print(is_there)
"""


def test_executors_to_come_find_modules_imported(tmp_path: Path) -> None:
    packages = tmp_path / "site-packages"
    packages.mkdir()
    (packages / "installed.py").write_text("")
    env = {**os.environ, "PYTHONPATH": str(packages)}

    assert program(tmp_path, PRELOADING, env=env) == "True"


def test_a_module_that_starts_a_thread_is_not_preloaded(tmp_path: Path) -> None:
    from apothic_emulator.executors import preload

    (tmp_path / "threaded.py").write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n"
    )
    wanted = preload.Wanted(["threaded"], [str(tmp_path), *sys.path], dict(os.environ))
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writer, b"%d" % preload.is_safe_after(wanted, set()))
        os._exit(0)
    os.waitpid(pid, 0)

    assert os.read(reader, 1) == b"0"
    os.close(reader)
    os.close(writer)
