"""Every error of Apothic, sorted by who has to act, each with a code that never changes.

    ApothicError
      UsageError       your call: the message says what to write instead
      JobError         the code you ran: it raised, was stopped, or took its process with it
      BackendError     the place it runs in: wait, retry, or make room
      InternalError    us: please report it

An error made here can cross any border as `(code, message, data)` and come back as itself.
"""

from __future__ import annotations

from typing import Any, ClassVar

_BY_CODE: dict[str, type[ApothicError]] = {}


class ApothicError(Exception):
    """Anything that Apothic raises by itself; `code` names the kind, `data` holds the details."""

    code: ClassVar[str] = "error"
    data: dict[str, Any]
    """What the message says, for programs: each key is an attribute too."""

    def __init_subclass__(cls) -> None:
        """File the class under its code, so that a reply from afar can be raised as itself."""
        _BY_CODE[cls.code] = cls

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(message)
        self.__dict__.update(data)
        self.data = data

    @property
    def message(self) -> str:
        """What is wrong, with which thing, and the way out."""
        return str(self.args[0]) if self.args else ""


def error_of(code: str, message: str, data: dict[str, Any]) -> ApothicError:
    """Rebuild an error from its parts; an unknown code becomes an `ApothicError` that says so."""
    known = _BY_CODE.get(code)
    if known is None:
        return ApothicError(f"{message} (code {code!r})", **data)
    return known(message, **data)


class UsageError(ApothicError):
    """Your call cannot be carried out as written."""

    code = "usage"


class InvalidOption(UsageError):
    """An option of a decorator or a call has a value that cannot be meant."""

    code = "invalid_option"


class NotFound(UsageError):
    """There is no object of that name or id; `data["known"]` lists the ones that there are."""

    code = "not_found"


class JobGone(NotFound):
    """The job ended and its result was dropped: it was waited for, or nobody held it any more."""

    code = "job_gone"


class NoControlPlane(NotFound):
    """No control plane runs that could be asked; the message says how to name one."""

    code = "no_control_plane"


class NotBuiltYet(UsageError):
    """The option is understood and stored, but this version cannot carry it out."""

    code = "not_built_yet"


class PathRefused(UsageError):
    """A path leads out of where it belongs, or there is no such path on some system."""

    code = "path_refused"


class FileRefused(UsageError):
    """These files (`data["files"]`) are not taken, or not touched: pipes, devices and the like."""

    code = "file_refused"


class PackageRefused(UsageError):
    """The project cannot be shipped as it is; `data["files"]` are those that are in the way."""

    code = "package_refused"


class ArchiveRefused(UsageError):
    """An archive is not as it was made: damaged, or made by somebody else."""

    code = "archive_refused"


class VolumeBusy(UsageError):
    """Files below the mount are open (`data["files"]`): close them before `reload()`."""

    code = "volume_busy"


class BlockingCall(UsageError):
    """A blocking call was made where an event loop runs; the message names the `.aio` spelling."""

    code = "blocking_call"


class ArgumentNotSerializable(UsageError):
    """An argument, or the function itself, cannot be sent to another process."""

    code = "argument_not_serializable"


class IdempotencyConflict(UsageError):
    """The key was used for a call with other arguments; `data["job_id"]` is that one's job."""

    code = "idempotency_conflict"


class ValueTooLarge(UsageError):
    """A value for a dict has more than 1 MiB pickled; `data`: `nbytes`, `most`."""

    code = "value_too_large"


class Fenced(UsageError):
    """A write carried the fence of a lock or a term that is not held any more; it was not done.

    `data`: `fence`; `lock`, whose it was, if that is known; `present`, the fence that holds now.
    """

    code = "fenced"


class SlotDeadlock(UsageError):
    """Jobs wait 32 levels deep, or for one that they keep from running; no wait for a `Queue`."""

    code = "slot_deadlock"


class JobError(ApothicError):
    """The job did not succeed; `job_id` says which."""

    code = "job"


class RemoteError(JobError):
    """The code raised something that cannot be rebuilt here: its text and traceback stand in."""

    code = "remote_error"


class JobCancelled(JobError):
    """The job was cancelled before it had a result."""

    code = "job_cancelled"


class JobTimeout(JobError):
    """The job ran longer than its function's `timeout_s` and was stopped.

    Not a `TimeoutError`: that one means that *you* stopped waiting (`WaitTimeout`).
    `data["stack"]` holds the Python stack of the process at the deadline.
    """

    code = "job_timeout"


class WorkerLost(JobError):
    """The process that ran the job died under it.

    `data`: `maybe_ran` (user code had started), `reason` ("signal", "exit", "protocol",
    "start", "oom", "poison"), `signal` and `exit_code` where there is one.
    """

    code = "worker_lost"


class MemoryLimitExceeded(WorkerLost):
    """The process that ran the job was killed because it used more than `memory_mb`.

    `data`, beside that of `WorkerLost`: `limit_mb`; `peak_mb`, the most that was seen;
    `evidence` ("cgroup-v2", "cgroup-v1" or "watchdog"); without that it is a plain `WorkerLost`.
    """

    code = "memory_limit"


class SetupFailed(JobError):
    """The function could not be loaded where it should run: an import or its pickle failed."""

    code = "setup_failed"


class NoMachine(JobError):
    """No machine here could ever run the job: the message says what it needs, and what there is."""

    code = "no_machine"


class SecretNotFound(SetupFailed):
    """A secret that is needed is not there, or lacks keys (`data["name"]`); nothing has run."""

    code = "secret_not_found"


class ResultNotSerializable(JobError):
    """The code returned a value that cannot be sent back."""

    code = "result_not_serializable"


class ResultDeserializeError(JobError):
    """The job succeeded, but its result cannot be rebuilt in this process."""

    code = "result_deserialize"


class BucketFailed(JobError):
    """A bucket could not be listed, read or written; the message says why, and the way out.

    `data["errno"]` is what the operating system would say: EACCES for wrong keys, ENOENT for a
    missing bucket, EINVAL for a key that can be no file, EFBIG for too much, EIO for the rest.
    """

    code = "bucket"


class BatchMismatch(JobError):
    """A batched function did not return a list with one result for each input."""

    code = "batch_mismatch"


class MountFailed(SetupFailed):
    """A volume cannot be shown at the path that was asked for; the message says what would do."""

    code = "mount_failed"


class VolumeConflict(JobError):
    """Others have changed the same files since: `data["files"]`. Nothing was written.

    Run again on what is there now, or commit with `on_conflict="last_write_wins"`.
    """

    code = "volume_conflict"


class BackendError(ApothicError):
    """The place where the code should run cannot take it now."""

    code = "backend"


class QueueFull(BackendError):
    """As many jobs or items, or bytes of them, wait as may; for items a `Full` (`queue.Full`)."""

    code = "queue_full"


class BalanceExhausted(BackendError):
    """The account's balance is used up, so nothing new begins; `data`: `balance_nano_usd`."""

    code = "balance_exhausted"


class OverLimit(BackendError):
    """There is as much of something as there may be; `data["limit"]` names it, if it has a name."""

    code = "over_limit"


class ValueNotLoadable(BackendError):
    """A value of a dict cannot be rebuilt in this process; it is still there. `data`: `key`."""

    code = "value_not_loadable"


class LockLost(BackendError):
    """A lock or a term is not yours any more: its lease ended before it was renewed.

    What was written without its fence may lie beside its next holder's. `data`: `fence`.
    """

    code = "lock_lost"


class WaitTimeout(BackendError, TimeoutError):
    """You stopped waiting; the jobs in `data["job_ids"]` run on."""

    code = "wait_timeout"


class TicketCancelled(BackendError):
    """The reply was given up before it came."""

    code = "ticket_cancelled"


class BackendClosed(BackendError):
    """The backend was closed, or this process is a fork of the one that opened it."""

    code = "backend_closed"


class SecretStoreRefused(BackendError):
    """The secrets of this user cannot be read or changed; the message says why, and the way out."""

    code = "secret_store"


class EmulatorDead(BackendError):
    """The local control plane met an unexpected error and stopped; `__cause__` says which."""

    code = "emulator_dead"


class StoreError(BackendError):
    """The store that keeps the control plane's state did not do what it was asked."""

    code = "store"


class StoreLocked(StoreError):
    """Another process owns the store; `data["owner"]` says what is known of it."""

    code = "store_locked"


class StoreCorrupt(StoreError):
    """The store cannot be read as a whole, so nothing of it is used."""

    code = "store_corrupt"


class StoreFenced(StoreError):
    """Somebody newer owns the store: what this process still wants to write is refused."""

    code = "store_fenced"


class StoreFull(StoreError):
    """There is no room left for the store; what it held before is intact."""

    code = "store_full"


class VolumeFailed(BackendError):
    """The disk did not take what a volume was to keep: `data["errno"]`. What it had is whole."""

    code = "volume_failed"


class VolumeFull(VolumeFailed):
    """There is no room left for what a volume was to keep; what it had before is whole."""

    code = "volume_full"


class VolumeDamaged(BackendError):
    """A file of a volume is not as it was written: restore the volume from a copy."""

    code = "volume_damaged"


class HostGone(BackendError):
    """The volume is on a host, `data["host"]`, that is not here."""

    code = "host_gone"


class InternalError(ApothicError):
    """A rule of Apothic's own was broken. Please report it with the traceback."""

    code = "internal"


class NonRetryable(Exception):
    """Raise it, or a class of your own below it, to fail a job at once whatever its `retries`.

    It arrives as itself. Executors know it by the attribute: theirs may be another installation's.
    """

    __apothic_final__ = True
