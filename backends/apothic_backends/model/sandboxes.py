"""What is told of sandboxes, and what can be wrong with a call to one.

Errors about files are those of the standard library, too: `except FileNotFoundError` catches a
`FileMissing`. A path that leads out is a `PathRefused`; what is there and may not be touched, or
is no file, folder or link, is a `FileRefused`.
"""

from __future__ import annotations

import sys

from apothic_backends.model.errors import BackendError, JobError, NotFound, UsageError
from apothic_backends.model.record import Record

IMAGE = f"python:{sys.version_info[0]}.{sys.version_info[1]}-slim"
"""What a container is made from where nothing is said."""


class FileMissing(NotFound, FileNotFoundError):
    """Nothing is at the path (`data["path"]`)."""

    code = "file_missing"


class FileExists(UsageError, FileExistsError):
    """Something is at the path already (`data["path"]`)."""

    code = "file_exists"


class IsADirectory(UsageError, IsADirectoryError):
    """A directory is at the path (`data["path"]`), where a file is needed."""

    code = "is_a_directory"


class NotADirectory(UsageError, NotADirectoryError):
    """What is at the path (`data["path"]`), or on the way to it, is no directory."""

    code = "not_a_directory"


class DirectoryNotEmpty(UsageError, OSError):
    """The directory (`data["path"]`) has something in it: `recursive=True` removes that, too."""

    code = "directory_not_empty"


class FileTooLarge(UsageError, OSError):
    """A file, or an archive of them, is larger than may be; `data`: `path`, `limit_bytes`."""

    code = "file_too_large"


class FileFailed(BackendError, OSError):
    """The disk of a sandbox did not do what it should: `data`: `path`, `errno`."""

    code = "file_failed"


class FileInfo(Record):
    """What is at a path: `kind` is "file", "directory", "symlink" or "other".

    `modified_at` is a Unix time, `mode` the permission bits, `target` where a symlink leads, as it
    is written in it.
    """

    path: str
    kind: str
    size_bytes: int
    modified_at: float
    mode: int
    target: str | None = None


class FileChange(Record):
    """What has happened at a path that is watched: "added", "modified" or "removed"."""

    path: str
    kind: str


class Isolation(Record):
    """How far the programs of a sandbox are kept apart from the machine they run on.

    `level` is "container" (one of Docker's, which has the files of an image), "namespaces" (they
    see files, processes and a network of their own) or "limits" (they are processes of this user
    like any other, with limits); `missing` says what was not reached, and why.
    """

    level: str
    missing: tuple[str, ...] = ()


class IsolationMissing(BackendError):
    """Untrusted programs cannot be kept apart on this machine; `data["missing"]` says why."""

    code = "isolation_missing"


class ProgramNotFound(NotFound):
    """There is no such program in the sandbox, or it may not be started; `data["program"]`."""

    code = "program_not_found"


class StdinClosed(UsageError, BrokenPipeError):
    """A program does not read its input any more: it has closed it, or ended."""

    code = "stdin_closed"


class GuestGone(BackendError):
    """What ran the programs of a sandbox has ended, and they with it."""

    code = "guest_gone"


class SandboxExpired(JobError):
    """The sandbox has ended by itself: its `timeout_s` is over, or its `idle_timeout_s`.

    What was in it is lost. `data`: `sandbox_id`.
    """

    code = "sandbox_expired"


class SandboxGone(NotFound):
    """There is no such sandbox: it was terminated, lost, or is not of this account.

    `data`: `sandbox_id`.
    """

    code = "sandbox_gone"


class RunResult(Record):
    """What became of a command in a session: its return code, and what it has written.

    `returncode` is -1 if its time was over. If `is_session_over`, the shell or the interpreter has
    ended with it, and what it knew is lost; the next command begins another one.
    """

    returncode: int
    stdout: str = ""
    stderr: str = ""
    is_session_over: bool = False
