"""What a guest is to be on this machine: who it is, what it may see, and its environment."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.record import Record
from apothic_backends.sandboxes.inside.plan import LIMITS, NAMESPACES, WORKSPACE, Plan

LEAST_MEMORY_MB = 32
MOST_ARGUMENT_BYTES = 65_536

_FIRST_UID, _UIDS = 0x7000_0000, 1 << 24
"""No system gives these to anybody, so each guest of root's can have one to itself."""

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SHOWN_ALREADY = ("/usr", "/bin", "/sbin", "/lib", "/lib64")
_SCRATCH_MB = 256


class GuestSpec(Record):
    """What a guest may have.

    `workspace` is the directory of this machine that it sees as `/workspace`, and may write.
    `workdir` is where its programs start. Without `network` it has its own loopback device only;
    with it, that of this machine. `memory_mb` is what each of its processes may have (None: any),
    `pids` how many of them there may be at once; `cpu` is on how many cores they run (None: all).
    `env` is the environment of its programs, beside what every one has. `binds` are more files and
    directories that it sees: path here, path there, whether it may write them; where this process
    is root's the guest is somebody else, whom their permissions have to let. With `untrusted` it is
    not started at all where something of the isolation is missing.
    """

    workspace: Path
    workdir: str = WORKSPACE
    network: bool = False
    memory_mb: int | None = None
    cpu: int | None = None
    pids: int = 128
    env: dict[str, str] = {}  # noqa: RUF012 - a record's default, never changed
    untrusted: bool = False
    binds: tuple[tuple[Path, str, bool], ...] = ()


class Interpreter(Record):
    """The Python that runs this, and where all of it lies; `bin` has its programs."""

    bin: str
    venv: str | None
    paths: tuple[str, ...]


def interpreter(executable: str, prefixes: Iterable[str]) -> Interpreter:
    """The installation of an interpreter, with the virtual environment that it is called from."""
    folder = os.path.dirname(os.path.abspath(executable))  # noqa: PTH100, PTH120 - as it is spelt
    above = os.path.dirname(folder)  # noqa: PTH120
    venv = above if (Path(above) / "pyvenv.cfg").is_file() else None
    real = str(Path(executable).resolve().parent.parent)
    wanted = [*([venv] if venv else []), *prefixes, real]
    paths = [path for path in dict.fromkeys(wanted) if path != "/" and not _is_shown(path)]
    return Interpreter(folder, venv, tuple(paths))


def _is_shown(path: str) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in _SHOWN_ALREADY)


def plan_of(spec: GuestSpec, level: str, python: Interpreter, uid: int) -> Plan:
    """How to start a guest at that level; `uid` as in `Plan`.

    Raises:
        InvalidOption: the spec cannot be meant.
    """
    check(spec)
    cores = sorted(os.sched_getaffinity(0))
    few = spec.cpu is not None and spec.cpu < len(cores)
    at = os.getpid() % len(cores)  # several should not all take the first
    return Plan(
        level=level,
        workspace=str(spec.workspace.resolve()),
        token=secrets.token_hex(8),
        has_network=spec.network,
        uid=uid,
        memory_mb=spec.memory_mb or 0,
        pids=spec.pids,
        scratch_mb=min(_SCRATCH_MB, max(16, spec.memory_mb // 2))
        if spec.memory_mb
        else _SCRATCH_MB,
        cores=",".join(map(str, (cores[at:] + cores[:at])[: spec.cpu])) if few else "",
        shown=[(str(Path(path).resolve()), path) for path in python.paths],
        binds=[(str(source.resolve()), target, mode) for source, target, mode in spec.binds],
    )


def check(spec: GuestSpec) -> None:
    """Refuse what cannot be meant."""
    if spec.memory_mb is not None and spec.memory_mb < LEAST_MEMORY_MB:
        raise InvalidOption(
            f"memory_mb={spec.memory_mb}: a sandbox needs {LEAST_MEMORY_MB} MB or more",
            option="memory_mb",
        )
    if spec.pids < 1:
        raise InvalidOption(f"pids={spec.pids}: it must be 1 or more", option="pids")
    if spec.cpu is not None and spec.cpu < 1:
        raise InvalidOption(f"cpu={spec.cpu}: it must be 1 or more", option="cpu")
    for _source, target, _is_writable in spec.binds:
        # Nor in the workspace: what the guest has put on the way there would be followed.
        is_plain = os.path.normpath(target) == target and target.startswith("/")
        if not is_plain or target.startswith(("//", f"{WORKSPACE}/")) or target in {"/", WORKSPACE}:
            raise InvalidOption(
                f"{target!r}: what a sandbox is shown has an absolute path there, outside of "
                f"{WORKSPACE}",
                option="binds",
            )


def check_words(argv: Sequence[object], env: dict[str, str], workdir: str) -> None:
    """Refuse what no program can be started with.

    Raises:
        InvalidOption: it is no list of texts, has a NUL in it, or is too long.
    """
    if isinstance(argv, str) or not argv or not all(isinstance(word, str) for word in argv):
        raise InvalidOption(
            f"argv={argv!r:.80}: it must be texts, the program first: 'ls', '-l'", option="argv"
        )
    words, variables = [str(word) for word in argv], [f"{k}={v}" for k, v in env.items()]
    if any("\0" in text for text in (*words, *variables, workdir)):
        raise InvalidOption("a NUL cannot be in arguments, variables and paths", option="argv")
    if any("=" in name or not name for name in env):
        raise InvalidOption("the name of a variable is not empty and has no '='", option="env")
    _check_size(words, "argv", "arguments")
    _check_size([*variables, workdir], "env", "environment, with the working directory,")


def _check_size(texts: list[str], option: str, what: str) -> None:
    size = sum(len(os.fsencode(text)) + 1 for text in texts)
    if size > MOST_ARGUMENT_BYTES:
        raise InvalidOption(
            f"the {what} would take {size} bytes, of {MOST_ARGUMENT_BYTES} that may be; write "
            "them to a file, or to the program's input",
            option=option,
        )


def environment(spec: GuestSpec, python: Interpreter, level: str) -> dict[str, str]:
    """What every program of a guest has, made from nothing: none of it is this process's own."""
    home = str(spec.workspace) if level == LIMITS else WORKSPACE
    own = {
        "HOME": home,
        "LANG": "C.UTF-8",
        "PATH": f"{python.bin}:{_SYSTEM_PATH}",
        "USER": "sandbox",
    }
    if python.venv:
        own["VIRTUAL_ENV"] = python.venv
    return own | spec.env


def beyond_limits(reason: str, spec: GuestSpec) -> tuple[str, ...]:
    """What a guest lacks that only has limits."""
    return (
        f"{NAMESPACES}: {reason}",
        "its programs can see the files, the processes and the network of this user",
        "pids: the number of processes is not limited",
        *[f"binds: {target} is not there" for _source, target, _is_writable in spec.binds],
    )


# --- whose the files are ----------------------------------------------------------------------


def choose_uid(workspace: Path) -> int:
    """The user that root's guest is outside: the one whose workspace it is, or a new one."""
    uid = workspace.stat().st_uid
    if _FIRST_UID <= uid < _FIRST_UID + _UIDS:
        return uid
    return _FIRST_UID + secrets.randbelow(_UIDS)


def give(folder: Path, uid: int) -> None:
    """Give all that is in a directory to a user, but for what has another name elsewhere."""
    for _root, folders, files, at in os.fwalk(folder, follow_symlinks=False):
        _give(".", uid, at)
        for name in (*folders, *files):
            _give(name, uid, at)


def _give(name: str, uid: int, at: int) -> None:
    status = os.stat(name, dir_fd=at, follow_symlinks=False)
    is_folder = (status.st_mode & 0o170000) == 0o040000  # noqa: PLR2004 - S_ISDIR
    if status.st_uid != uid and (is_folder or status.st_nlink == 1):
        os.chown(name, uid, uid, dir_fd=at, follow_symlinks=False)
