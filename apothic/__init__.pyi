from apothic.agents import Agent as Agent
from apothic.apps import App as App
from apothic.claims import Claim as Claim, DeadLetter as DeadLetter
from apothic.classes import Cls as Cls
from apothic.clients import ControlPlaneClient as ControlPlaneClient
from apothic.costs import cost as cost
from apothic.deployments import Deployment as Deployment
from apothic.dicts import Dict as Dict
from apothic.entries import Entry as Entry
from apothic.errors import Empty as Empty, Full as Full
from apothic.functions import RemoteFunction as RemoteFunction
from apothic.generation.config import LivConfig as LivConfig, liv as liv
from apothic.images import Image as Image
from apothic.items import AsyncItems as AsyncItems, Items as Items
from apothic.jobs import Job as Job
from apothic.kinds import (
    AsyncFunction as AsyncFunction,
    AsyncGeneratorFunction as AsyncGeneratorFunction,
    Function as Function,
    GeneratorFunction as GeneratorFunction,
)
from apothic.locks import Leader as Leader, Lock as Lock, Term as Term
from apothic.methods import (
    enter as enter,
    exit as exit,  # noqa: A004 - what users of the field look for
    method as method,
)
from apothic.mounts import StorageMount as StorageMount
from apothic.policies import (
    Retries as Retries,
    batched as batched,
    concurrent as concurrent,
)
from apothic.processes import SandboxProcess as SandboxProcess
from apothic.queues import Queue as Queue
from apothic.remote import RemoteApp as RemoteApp
from apothic.runtime import (
    CurrentJob as CurrentJob,
    current_job as current_job,
    is_local as is_local,
    progress as progress,
)
from apothic.sandboxes import Sandbox as Sandbox, Workspace as Workspace
from apothic.schedules import (
    Cron as Cron,
    Period as Period,
)
from apothic.secret import Secret as Secret
from apothic.snapshots import Snapshot as Snapshot
from apothic.storage import CloudBucketMount as CloudBucketMount
from apothic.volumes import Volume as Volume
from apothic.watches import Lines as Lines, Watch as Watch
from apothic_backends.model.agents import PythonMismatch as PythonMismatch
from apothic_backends.model.errors import (
    ApothicError as ApothicError,
    ArchiveRefused as ArchiveRefused,
    ArgumentNotSerializable as ArgumentNotSerializable,
    BackendClosed as BackendClosed,
    BackendError as BackendError,
    BalanceExhausted as BalanceExhausted,
    BatchMismatch as BatchMismatch,
    BlockingCall as BlockingCall,
    BucketFailed as BucketFailed,
    EmulatorDead as EmulatorDead,
    Fenced as Fenced,
    FileRefused as FileRefused,
    HostGone as HostGone,
    IdempotencyConflict as IdempotencyConflict,
    InternalError as InternalError,
    InvalidOption as InvalidOption,
    JobCancelled as JobCancelled,
    JobError as JobError,
    JobGone as JobGone,
    JobTimeout as JobTimeout,
    LockLost as LockLost,
    MemoryLimitExceeded as MemoryLimitExceeded,
    MountFailed as MountFailed,
    NoControlPlane as NoControlPlane,
    NoMachine as NoMachine,
    NonRetryable as NonRetryable,
    NotBuiltYet as NotBuiltYet,
    NotFound as NotFound,
    OverLimit as OverLimit,
    PackageRefused as PackageRefused,
    PathRefused as PathRefused,
    QueueFull as QueueFull,
    RemoteError as RemoteError,
    ResultDeserializeError as ResultDeserializeError,
    ResultNotSerializable as ResultNotSerializable,
    SecretNotFound as SecretNotFound,
    SecretStoreRefused as SecretStoreRefused,
    SetupFailed as SetupFailed,
    SlotDeadlock as SlotDeadlock,
    StoreCorrupt as StoreCorrupt,
    StoreError as StoreError,
    StoreFenced as StoreFenced,
    StoreFull as StoreFull,
    StoreLocked as StoreLocked,
    TicketCancelled as TicketCancelled,
    UsageError as UsageError,
    ValueNotLoadable as ValueNotLoadable,
    ValueTooLarge as ValueTooLarge,
    VolumeBusy as VolumeBusy,
    VolumeConflict as VolumeConflict,
    VolumeDamaged as VolumeDamaged,
    VolumeFailed as VolumeFailed,
    VolumeFull as VolumeFull,
    WaitTimeout as WaitTimeout,
    WorkerLost as WorkerLost,
)
from apothic_backends.model.events import Cursor as Cursor, Event as Event
from apothic_backends.model.generation import (
    GenerationFailed as GenerationFailed,
    NotGenerated as NotGenerated,
)
from apothic_backends.model.images import (
    ImageBuildFailed as ImageBuildFailed,
    ImageMissing as ImageMissing,
    NoDocker as NoDocker,
)
from apothic_backends.model.instances import (
    InstanceConflict as InstanceConflict,
    InstanceDead as InstanceDead,
    InstanceGone as InstanceGone,
    InstanceSnapshot as InstanceSnapshot,
)
from apothic_backends.model.jobs import JobStatus as JobStatus
from apothic_backends.model.queues import (
    ItemNotLoadable as ItemNotLoadable,
    ItemTooLarge as ItemTooLarge,
    StaleClaim as StaleClaim,
)
from apothic_backends.model.sandboxes import (
    DirectoryNotEmpty as DirectoryNotEmpty,
    FileChange as FileChange,
    FileExists as FileExists,
    FileFailed as FileFailed,
    FileInfo as FileInfo,
    FileMissing as FileMissing,
    FileTooLarge as FileTooLarge,
    GuestGone as GuestGone,
    IsADirectory as IsADirectory,
    Isolation as Isolation,
    IsolationMissing as IsolationMissing,
    NotADirectory as NotADirectory,
    ProgramNotFound as ProgramNotFound,
    RunResult as RunResult,
    SandboxExpired as SandboxExpired,
    SandboxGone as SandboxGone,
    StdinClosed as StdinClosed,
)
from apothic_backends.model.volumes import VolumeFile as VolumeFile

__version__: str

__all__ = [
    "Agent",
    "ApothicError",
    "App",
    "ArchiveRefused",
    "ArgumentNotSerializable",
    "AsyncFunction",
    "AsyncGeneratorFunction",
    "AsyncItems",
    "BackendClosed",
    "BackendError",
    "BalanceExhausted",
    "BatchMismatch",
    "BlockingCall",
    "BucketFailed",
    "Claim",
    "CloudBucketMount",
    "ControlPlaneClient",
    "Cron",
    "CurrentJob",
    "Cursor",
    "DeadLetter",
    "Deployment",
    "Dict",
    "DirectoryNotEmpty",
    "Empty",
    "EmulatorDead",
    "Entry",
    "Event",
    "Fenced",
    "FileChange",
    "FileExists",
    "FileFailed",
    "FileInfo",
    "FileMissing",
    "FileRefused",
    "FileTooLarge",
    "Full",
    "Function",
    "GenerationFailed",
    "GeneratorFunction",
    "GuestGone",
    "HostGone",
    "IdempotencyConflict",
    "Image",
    "ImageBuildFailed",
    "ImageMissing",
    "InternalError",
    "InvalidOption",
    "IsADirectory",
    "Isolation",
    "IsolationMissing",
    "ItemNotLoadable",
    "ItemTooLarge",
    "Items",
    "Job",
    "JobCancelled",
    "JobError",
    "JobGone",
    "JobStatus",
    "JobTimeout",
    "Leader",
    "Lines",
    "LivConfig",
    "Lock",
    "LockLost",
    "MemoryLimitExceeded",
    "MountFailed",
    "NoControlPlane",
    "NoDocker",
    "NoMachine",
    "NonRetryable",
    "NotADirectory",
    "NotBuiltYet",
    "NotFound",
    "NotGenerated",
    "OverLimit",
    "PackageRefused",
    "PathRefused",
    "Period",
    "ProgramNotFound",
    "PythonMismatch",
    "Queue",
    "QueueFull",
    "RemoteError",
    "RemoteFunction",
    "ResultDeserializeError",
    "ResultNotSerializable",
    "Retries",
    "RunResult",
    "Sandbox",
    "SandboxExpired",
    "SandboxGone",
    "SandboxProcess",
    "Secret",
    "SecretNotFound",
    "SecretStoreRefused",
    "SetupFailed",
    "SlotDeadlock",
    "Snapshot",
    "StaleClaim",
    "StdinClosed",
    "StorageMount",
    "StoreCorrupt",
    "StoreError",
    "StoreFenced",
    "StoreFull",
    "StoreLocked",
    "Term",
    "TicketCancelled",
    "UsageError",
    "ValueNotLoadable",
    "ValueTooLarge",
    "Volume",
    "VolumeBusy",
    "VolumeConflict",
    "VolumeDamaged",
    "VolumeFailed",
    "VolumeFile",
    "VolumeFull",
    "WaitTimeout",
    "Watch",
    "WorkerLost",
    "Workspace",
    "__version__",
    "batched",
    "concurrent",
    "cost",
    "current_job",
    "is_local",
    "liv",
    "progress",
]
