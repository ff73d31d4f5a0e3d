from apothic.apps import App as App
from apothic.clients import ControlPlaneClient as ControlPlaneClient
from apothic.functions import (
    AsyncFunction as AsyncFunction,
)
from apothic.functions import (
    Function as Function,
)
from apothic.functions import (
    RemoteFunction as RemoteFunction,
)
from apothic.generation import LivConfig as LivConfig
from apothic.generation import liv as liv
from apothic.images import Image as Image
from apothic.jobs import Job as Job
from apothic.policies import (
    Cron as Cron,
)
from apothic.policies import (
    Period as Period,
)
from apothic.policies import (
    Retries as Retries,
)
from apothic.policies import (
    batched as batched,
)
from apothic.policies import (
    concurrent as concurrent,
)
from apothic.runtime import (
    CurrentJob as CurrentJob,
)
from apothic.runtime import (
    current_job as current_job,
)
from apothic.runtime import (
    is_local as is_local,
)
from apothic.secret import Secret as Secret
from apothic.storage import (
    CloudBucketMount as CloudBucketMount,
)
from apothic.storage import (
    StorageMount as StorageMount,
)
from apothic.storage import (
    Volume as Volume,
)
from apothic_backends.model.errors import (
    ApothicError as ApothicError,
)
from apothic_backends.model.errors import (
    ArgumentNotSerializable as ArgumentNotSerializable,
)
from apothic_backends.model.errors import (
    BackendClosed as BackendClosed,
)
from apothic_backends.model.errors import (
    BackendError as BackendError,
)
from apothic_backends.model.errors import (
    BlockingCall as BlockingCall,
)
from apothic_backends.model.errors import (
    EmulatorDead as EmulatorDead,
)
from apothic_backends.model.errors import (
    InternalError as InternalError,
)
from apothic_backends.model.errors import (
    InvalidOption as InvalidOption,
)
from apothic_backends.model.errors import (
    JobCancelled as JobCancelled,
)
from apothic_backends.model.errors import (
    JobError as JobError,
)
from apothic_backends.model.errors import (
    JobGone as JobGone,
)
from apothic_backends.model.errors import (
    JobTimeout as JobTimeout,
)
from apothic_backends.model.errors import (
    NotBuiltYet as NotBuiltYet,
)
from apothic_backends.model.errors import (
    NotFound as NotFound,
)
from apothic_backends.model.errors import (
    QueueFull as QueueFull,
)
from apothic_backends.model.errors import (
    RemoteError as RemoteError,
)
from apothic_backends.model.errors import (
    ResultDeserializeError as ResultDeserializeError,
)
from apothic_backends.model.errors import (
    ResultNotSerializable as ResultNotSerializable,
)
from apothic_backends.model.errors import (
    SetupFailed as SetupFailed,
)
from apothic_backends.model.errors import (
    SlotDeadlock as SlotDeadlock,
)
from apothic_backends.model.errors import (
    TicketCancelled as TicketCancelled,
)
from apothic_backends.model.errors import (
    UsageError as UsageError,
)
from apothic_backends.model.errors import (
    WaitTimeout as WaitTimeout,
)
from apothic_backends.model.errors import (
    WorkerLost as WorkerLost,
)
from apothic_backends.model.jobs import JobStatus as JobStatus

__version__: str

__all__ = [
    "ApothicError",
    "App",
    "ArgumentNotSerializable",
    "AsyncFunction",
    "BackendClosed",
    "BackendError",
    "BlockingCall",
    "CloudBucketMount",
    "ControlPlaneClient",
    "Cron",
    "CurrentJob",
    "EmulatorDead",
    "Function",
    "Image",
    "InternalError",
    "InvalidOption",
    "Job",
    "JobCancelled",
    "JobError",
    "JobGone",
    "JobStatus",
    "JobTimeout",
    "LivConfig",
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
    "SetupFailed",
    "SlotDeadlock",
    "StorageMount",
    "TicketCancelled",
    "UsageError",
    "Volume",
    "WaitTimeout",
    "WorkerLost",
    "__version__",
    "batched",
    "concurrent",
    "current_job",
    "is_local",
    "liv",
]
