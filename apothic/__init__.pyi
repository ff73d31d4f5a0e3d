from apothic.apps import App as App
from apothic.clients import ControlPlaneClient as ControlPlaneClient
from apothic.functions import RemoteFunction as RemoteFunction
from apothic.generation import LivConfig as LivConfig, liv as liv
from apothic.images import Image as Image
from apothic.items import AsyncItems as AsyncItems, Items as Items
from apothic.jobs import Job as Job
from apothic.kinds import (
    AsyncFunction as AsyncFunction,
    AsyncGeneratorFunction as AsyncGeneratorFunction,
    Function as Function,
    GeneratorFunction as GeneratorFunction,
)
from apothic.policies import (
    Retries as Retries,
    batched as batched,
    concurrent as concurrent,
)
from apothic.runtime import (
    CurrentJob as CurrentJob,
    current_job as current_job,
    is_local as is_local,
    progress as progress,
)
from apothic.schedules import (
    Cron as Cron,
    Period as Period,
)
from apothic.secret import Secret as Secret
from apothic.storage import (
    CloudBucketMount as CloudBucketMount,
    StorageMount as StorageMount,
    Volume as Volume,
)
from apothic.watches import Lines as Lines, Watch as Watch
from apothic_backends.model.errors import (
    ApothicError as ApothicError,
    ArgumentNotSerializable as ArgumentNotSerializable,
    BackendClosed as BackendClosed,
    BackendError as BackendError,
    BatchMismatch as BatchMismatch,
    BlockingCall as BlockingCall,
    EmulatorDead as EmulatorDead,
    Fenced as Fenced,
    IdempotencyConflict as IdempotencyConflict,
    InternalError as InternalError,
    InvalidOption as InvalidOption,
    JobCancelled as JobCancelled,
    JobError as JobError,
    JobGone as JobGone,
    JobTimeout as JobTimeout,
    LockLost as LockLost,
    MemoryLimitExceeded as MemoryLimitExceeded,
    NoControlPlane as NoControlPlane,
    NonRetryable as NonRetryable,
    NotBuiltYet as NotBuiltYet,
    NotFound as NotFound,
    QueueFull as QueueFull,
    RemoteError as RemoteError,
    ResultDeserializeError as ResultDeserializeError,
    ResultNotSerializable as ResultNotSerializable,
    SecretNotFound as SecretNotFound,
    SecretStoreRefused as SecretStoreRefused,
    SetupFailed as SetupFailed,
    SlotDeadlock as SlotDeadlock,
    TicketCancelled as TicketCancelled,
    UsageError as UsageError,
    WaitTimeout as WaitTimeout,
    WorkerLost as WorkerLost,
)
from apothic_backends.model.events import Cursor as Cursor, Event as Event
from apothic_backends.model.jobs import JobStatus as JobStatus

__version__: str

__all__ = [
    "ApothicError",
    "App",
    "ArgumentNotSerializable",
    "AsyncFunction",
    "AsyncGeneratorFunction",
    "AsyncItems",
    "BackendClosed",
    "BackendError",
    "BatchMismatch",
    "BlockingCall",
    "CloudBucketMount",
    "ControlPlaneClient",
    "Cron",
    "CurrentJob",
    "Cursor",
    "EmulatorDead",
    "Event",
    "Fenced",
    "Function",
    "GeneratorFunction",
    "IdempotencyConflict",
    "Image",
    "InternalError",
    "InvalidOption",
    "Items",
    "Job",
    "JobCancelled",
    "JobError",
    "JobGone",
    "JobStatus",
    "JobTimeout",
    "Lines",
    "LivConfig",
    "LockLost",
    "MemoryLimitExceeded",
    "NoControlPlane",
    "NonRetryable",
    "NotBuiltYet",
    "NotFound",
    "Period",
    "QueueFull",
    "RemoteError",
    "RemoteFunction",
    "ResultDeserializeError",
    "ResultNotSerializable",
    "Retries",
    "Secret",
    "SecretNotFound",
    "SecretStoreRefused",
    "SetupFailed",
    "SlotDeadlock",
    "StorageMount",
    "TicketCancelled",
    "UsageError",
    "Volume",
    "WaitTimeout",
    "Watch",
    "WorkerLost",
    "__version__",
    "batched",
    "concurrent",
    "current_job",
    "is_local",
    "liv",
    "progress",
]
