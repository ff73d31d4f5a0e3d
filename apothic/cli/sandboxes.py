"""What the commands of `apothic sandbox` and `apothic shell` do."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apothic._drive import block
from apothic._sandboxes import Link, id_of, listed
from apothic.cli import output
from apothic.cli.command import say
from apothic.cli.plane import control_plane
from apothic.cli.wishes import Wishes
from apothic.processes import ProcessOutput, SandboxProcess
from apothic.sandboxes import Sandbox
from apothic_backends.model.errors import ApothicError, NotFound, UsageError
from apothic_backends.model.instances import InstanceSnapshot

SCHEMA = "apothic.sandboxes.v1"
TIMED_OUT = 124
_SHOWN = 5
"""How many links a message names."""
"""The exit code where the time of a program was over, as that of `timeout`."""


def show(asked: Wishes, tags: tuple[str, ...]) -> None:
    """Print the sandboxes that live."""
    wanted = dict(_tag_of(tag) for tag in tags).items()
    found = [it for it in _all() if wanted <= dict(it.tags).items()]
    if asked.is_json():
        told = [
            {
                "sandbox_id": id_of(it),
                "name": it.name,
                "app": it.app_name,
                "workspace": it.class_name,
                "tags": dict(it.tags),
                "created_at": it.created_at,
                "expires_at": it.expires_at,
            }
            for it in found
        ]
        output.put(output.line_of({"schema": SCHEMA, "sandboxes": told}))
        return
    rows = [
        (
            id_of(it),
            it.name or "",
            f"{it.app_name}/{it.class_name}",
            " ".join(f"{key}={value}" for key, value in it.tags),
        )
        for it in found
    ]
    for line in output.columns(rows) if rows else ():
        output.put(line)


def _tag_of(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--tag {text!r}: it must be KEY=VALUE")
    return key, value


def execute(
    asked: Wishes, name: str, argv: tuple[str, ...], workdir: str | None, timeout_s: float | None
) -> None:
    """Run a program with our input and outputs, and end with its code."""
    del asked  # what it writes is its own
    argv = argv[1:] if argv[0] == "--" else argv
    process = _found(name).exec(*argv, workdir=workdir, timeout_s=timeout_s, text=False)
    _end_with(_carried(process))


def shell(asked: Wishes, name: str, argv: tuple[str, ...]) -> None:
    """Have our terminal be that of a program."""
    del asked  # as above
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("apothic shell needs a terminal; `apothic sandbox exec` does not")
    box, env = _found(name), {"TERM": os.environ.get("TERM", "dumb")}
    argv = argv[1:] if argv[:1] == ("--",) else argv
    process = box.exec(*(argv or ("bash",)), pty=_size(), env=env, text=False)
    with _raw_terminal(process):
        code = _carried(process)
    _end_with(code)


def copy(asked: Wishes, source: str, goal: str) -> None:
    """Copy a file or a folder into a sandbox, or out of it."""
    there, here = _place_of(source), _place_of(goal)
    if (there is None) == (here is None):
        raise UsageError("of SOURCE and GOAL one is NAME:/path, and the other a path of this disk")
    if there is not None:
        left_out = _copy_out(_found(there[0]), there[1], Path(goal))
        if left_out:
            named = ", ".join(map(repr, left_out[:_SHOWN]))  # they are theirs, and may have escapes
            say(asked, f"links that were left out: {named}")
    elif here is not None:
        _copy_in(Path(source), _found(here[0]), here[1])
    say(asked, f"{source} is at {goal}")


def _copy_out(box: Sandbox, path: str, goal: Path) -> list[str]:
    """Copy it here; the links that are left out."""
    if box.files.stat(path).kind == "directory":
        return box.files.download_tree(path, goal)
    box.files.copy_to_local(path, goal / path.rpartition("/")[2] if goal.is_dir() else goal)
    return []


def _copy_in(source: Path, box: Sandbox, path: str) -> None:
    if source.is_dir():
        box.files.upload_tree(source, path)
        return
    box.files.copy_from_local(source, f"{path}{source.name}" if path.endswith("/") else path)


def _place_of(text: str) -> tuple[str, str] | None:
    name, colon, path = text.partition(":")
    return (name, path or "/workspace/") if colon and name and "/" not in name else None


def stop(asked: Wishes, names: tuple[str, ...]) -> None:
    """End sandboxes."""
    for box in [_found(name) for name in names]:
        box.terminate()
        say(asked, f"{box.sandbox_id} has ended")


# --- which one ------------------------------------------------------------------------------------


def _all() -> list[InstanceSnapshot]:
    control_plane("its sandboxes")
    return block(listed(None, None))


def _found(name: str) -> Sandbox:
    """The sandbox of that name or id.

    Raises:
        NotFound: there is none.
        UsageError: there are several.
    """
    found = [it for it in _all() if name in (it.name, id_of(it))]
    if not found:
        raise NotFound(f"there is no sandbox {name!r}; `apothic sandbox list` shows them")
    if len(found) > 1:
        ids = ", ".join(map(id_of, found))
        raise UsageError(f"there are several sandboxes {name!r}; name one by its id: {ids}")
    [it] = found
    return Sandbox(Link(id_of(it)), it.name or "", dict(it.tags))


# --- input and output -----------------------------------------------------------------------------


def _carried(process: SandboxProcess[Any]) -> int:
    """Carry our input to it and its output to us, until it has ended; its return code."""
    outputs = ((process.stdout, sys.stdout.fileno()), (process.stderr, sys.stderr.fileno()))
    threading.Thread(target=_feed, args=(process,), daemon=True).start()
    writers = [threading.Thread(target=_write, args=it, daemon=True) for it in outputs]
    for writer in writers:
        writer.start()
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.kill(signal.SIGINT)
        code = process.wait()
    for writer in writers:
        writer.join()
    return code


def _feed(process: SandboxProcess[Any]) -> None:
    try:
        while data := os.read(sys.stdin.fileno(), 1 << 16):
            process.stdin.write(data)
        process.stdin.close()
    except (ApothicError, OSError):
        pass  # it reads no more, or has ended


def _write(source: ProcessOutput[Any], goal: int) -> None:
    try:
        while data := source.read_some():
            while data:
                data = data[os.write(goal, data) :]
    except (ApothicError, OSError):
        pass  # nobody reads what we write, or the sandbox has ended: `wait` says so


def _end_with(code: int) -> None:
    if code:
        sys.exit(TIMED_OUT if code == -1 else code if code > 0 else 128 - code)


@contextmanager
def _raw_terminal(process: SandboxProcess[Any]) -> Generator[None]:
    """Have our terminal give every key as it is, and tell of a change of its size."""
    import termios  # only here  # noqa: PLC0415
    import tty  # noqa: PLC0415 - as above

    def resized(*_: object) -> None:
        threading.Thread(target=process.resize, args=_size(), daemon=True).start()

    stdin = sys.stdin.fileno()
    before = termios.tcgetattr(stdin)
    handler = signal.signal(signal.SIGWINCH, resized)
    try:
        tty.setraw(stdin)
        yield
    finally:
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, handler)


def _size() -> tuple[int, int]:
    columns, rows = shutil.get_terminal_size()
    return max(1, rows), max(1, columns)
