"""Apothic: decorators for functions that run in worker processes, today on this machine.

Names are loaded when they are first used: `import apothic` costs next to nothing.
"""

from __future__ import annotations

__version__ = "0.1.0"

_HOMES = {
    "apothic.agents": ("Agent",),
    "apothic.apps": ("App",),
    "apothic.claims": ("Claim", "DeadLetter"),
    "apothic.classes": ("Cls",),
    "apothic.clients": ("ControlPlaneClient",),
    "apothic.costs": ("cost",),
    "apothic.deployments": ("Deployment",),
    "apothic.dicts": ("Dict",),
    "apothic.entries": ("Entry",),
    "apothic.functions": ("RemoteFunction",),
    "apothic.generation.config": ("LivConfig", "liv"),
    "apothic.images": ("Image",),
    "apothic.items": ("AsyncItems", "Items"),
    "apothic.jobs": ("Job",),
    "apothic.kinds": (
        "AsyncFunction",
        "AsyncGeneratorFunction",
        "Function",
        "GeneratorFunction",
    ),
    "apothic.locks": ("Leader", "Lock", "Term"),
    "apothic.methods": ("enter", "exit", "method"),
    "apothic.policies": ("Retries", "batched", "concurrent"),
    "apothic.errors": ("Empty", "Full"),
    "apothic.queues": ("Queue",),
    "apothic.remote": ("RemoteApp",),
    "apothic.runtime": ("CurrentJob", "current_job", "is_local", "progress"),
    "apothic.processes": ("SandboxProcess",),
    "apothic.sandboxes": ("Sandbox", "Workspace"),
    "apothic.snapshots": ("Snapshot",),
    "apothic.schedules": ("Cron", "Period"),
    "apothic.secret": ("Secret",),
    "apothic.storage": ("CloudBucketMount",),
    "apothic.mounts": ("StorageMount",),
    "apothic.volumes": ("Volume",),
    "apothic.watches": ("Lines", "Watch"),
    "apothic_backends.model.errors": (
        "ApothicError",
        "ArchiveRefused",
        "ArgumentNotSerializable",
        "BackendClosed",
        "BackendError",
        "BalanceExhausted",
        "BatchMismatch",
        "BlockingCall",
        "BucketFailed",
        "EmulatorDead",
        "Fenced",
        "FileRefused",
        "HostGone",
        "IdempotencyConflict",
        "InternalError",
        "InvalidOption",
        "JobCancelled",
        "JobError",
        "JobGone",
        "JobTimeout",
        "LockLost",
        "MemoryLimitExceeded",
        "MountFailed",
        "NoControlPlane",
        "NoMachine",
        "NonRetryable",
        "NotBuiltYet",
        "NotFound",
        "OverLimit",
        "PackageRefused",
        "PathRefused",
        "QueueFull",
        "RemoteError",
        "ResultDeserializeError",
        "ResultNotSerializable",
        "SecretNotFound",
        "SecretStoreRefused",
        "SetupFailed",
        "SlotDeadlock",
        "StoreCorrupt",
        "StoreError",
        "StoreFenced",
        "StoreFull",
        "StoreLocked",
        "TicketCancelled",
        "UsageError",
        "ValueNotLoadable",
        "ValueTooLarge",
        "VolumeBusy",
        "VolumeConflict",
        "VolumeDamaged",
        "VolumeFailed",
        "VolumeFull",
        "WaitTimeout",
        "WorkerLost",
    ),
    "apothic_backends.model.agents": ("PythonMismatch",),
    "apothic_backends.model.events": ("Cursor", "Event"),
    "apothic_backends.model.generation": ("GenerationFailed", "NotGenerated"),
    "apothic_backends.model.images": ("ImageBuildFailed", "ImageMissing", "NoDocker"),
    "apothic_backends.model.instances": (
        "InstanceConflict",
        "InstanceDead",
        "InstanceGone",
        "InstanceSnapshot",
    ),
    "apothic_backends.model.jobs": ("JobStatus",),
    "apothic_backends.model.queues": (
        "ItemNotLoadable",
        "ItemTooLarge",
        "StaleClaim",
    ),
    "apothic_backends.model.sandboxes": (
        "DirectoryNotEmpty",
        "FileChange",
        "FileExists",
        "FileFailed",
        "FileInfo",
        "FileMissing",
        "FileTooLarge",
        "GuestGone",
        "IsADirectory",
        "Isolation",
        "IsolationMissing",
        "NotADirectory",
        "ProgramNotFound",
        "RunResult",
        "SandboxExpired",
        "SandboxGone",
        "StdinClosed",
    ),
    "apothic_backends.model.volumes": ("VolumeFile",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME]  # noqa: PLE0604  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    """Load a public name from its module, and keep it."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(
            f"module 'apothic' has no attribute {name!r}", name="apothic", obj=None
        )
    value: object = getattr(__import__(home, fromlist=(name,)), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
