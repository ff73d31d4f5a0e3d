"""What a backend must know of a function before it can run it."""

from __future__ import annotations

from apothic_backends.model.images import ImageSpec
from apothic_backends.model.instances import ClassSpec
from apothic_backends.model.record import Record
from apothic_backends.model.services import ServiceSpec
from apothic_backends.model.volumes import VAST_LOCAL


class RetryPolicy(Record):
    """When a failed attempt is tried again: delay k is `initial * coefficient**(k-1)`, capped.

    Times are in seconds. `max_retries` counts attempts after the first. With `jitter` 0.1 a delay
    is up to a tenth longer or shorter, so that many jobs which failed together do not come back
    together.
    """

    max_retries: int = 0
    initial_delay_s: float = 1.0
    backoff_coefficient: float = 1.0
    max_delay_s: float = 60.0
    jitter: float = 0.0

    def delay_s(self, retry: int, chance: float = 0.5) -> float:
        """Seconds to wait before retry number `retry`, counted from 1; `chance` is 0 to 1."""
        try:
            delay_s = self.initial_delay_s * self.backoff_coefficient ** (retry - 1)
        except OverflowError:
            delay_s = self.initial_delay_s and self.max_delay_s
        return min(self.max_delay_s, delay_s) * (1 + self.jitter * (2 * chance - 1))


class BatchPolicy(Record):
    """How many single inputs go into one call, and how long the first of them may wait."""

    max_size: int
    wait_s: float = 0.0


class SecretRef(Record):
    """A secret that a function needs, by name, and the keys that it must have."""

    name: str
    required_keys: tuple[str, ...] = ()


class MountSpec(Record):
    """Something that a function finds at a path: `kind` says what, and `name` which.

    Of a "volume" it is `sub_path`, or all of it. One that is not there is made, of the kind that
    `create` names. With `strict` it is seen as it was when its executor started, or reloaded it.
    Of a "bucket" it is what is below `prefix`; `keys` names the secrets with its access key and its
    secret key.
    """

    kind: str
    name: str
    path: str
    read_only: bool = False
    sub_path: str = ""
    create: str | None = None
    strict: bool = False
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None
    force_path_style: bool | None = None
    keys: tuple[str, ...] = ()


Scalar = float | str | bool


class Condition(Record):
    """A comparison with what is offered: `field` of a machine has to be `operator` `value`.

    The fields and operators are those of `apothic_backends.placement.fields`; `said` is what the
    user wrote, for messages.
    """

    field: str
    operator: str
    value: float | str | bool | tuple[float | str | bool, ...]
    said: str


class FunctionSpec(Record):
    """A function's name, the limits under which it runs, and how it is called.

    `is_async` functions run as tasks on one event loop per executor. A call of one that
    `is_generator` gives items and no result. `preload` names modules that a fresh process may
    import before the function's code arrives. Executors take `concurrent_requests` calls at once,
    but more than `target_requests` (0: no less than they can) only where no further executor may
    start. With a `batch` policy a call is for several jobs: each parameter gets a list with one
    value of each job, and the result is a list of their results. `memory_mb` and `cpu` are limits
    for each process that runs it, together with all that it starts; `cpu` is None where the caller
    has not limited it. `secrets` are named only; where two have a key in common, the later counts.
    `mounts` are what it finds at which paths. `source` is the digest of the archive in whose files
    it runs: they are its working directory, and its modules are in the folders of `path` ("" is the
    top). Without one it runs where its caller does. Each process that runs it has `gpu_count` GPUs
    to itself: all of one of the models that `gpu` names, the first of them that is to be had (any
    where it names none), each with `min_vram_gb` (of 10**9 bytes, as makers count) at the least.
    With `gpu_share` processes of other functions that share may have the same, and `min_vram_gb` is
    what it needs of it.
    Its code can be loaded only under `python`, such as "3.12"; under any if that is empty, as for
    code that is found by its name. One that is a `service` takes requests, and no calls. One
    that is a class (`cls`) takes calls of its methods, for its instances. It finds what its `image`
    says; without one, what is there where its caller runs. A machine has to meet every condition of
    `placement`, as far as it tells, and to have `disk_gb` free.
    """

    app_name: str
    name: str
    timeout_s: float = 600.0
    retries: RetryPolicy = RetryPolicy()
    concurrent_requests: int = 1
    max_pending_tasks: int = 100
    max_containers: int = 1
    tasks_per_container: int = 1
    is_async: bool = False
    preload: tuple[str, ...] = ()
    target_requests: int = 0
    is_generator: bool = False
    batch: BatchPolicy | None = None
    memory_mb: int = 1024
    cpu: int | None = None
    secrets: tuple[SecretRef, ...] = ()
    mounts: tuple[MountSpec, ...] = ()
    source: str | None = None
    path: tuple[str, ...] = ()
    gpu: tuple[str, ...] = ()
    gpu_count: int = 0
    min_vram_gb: int = 0
    gpu_share: bool = False
    python: str = ""
    service: ServiceSpec | None = None
    cls: ClassSpec | None = None
    image: ImageSpec | None = None
    placement: tuple[Condition, ...] = ()
    disk_gb: float = 0.0

    @property
    def yields(self) -> bool:
        """Whether a call may give items."""
        methods = () if self.cls is None else self.cls.methods
        return self.is_generator or any(method.is_generator for method in methods)

    @property
    def local_volume(self) -> str:
        """The volume among its mounts that lies on one host; empty if there is none."""
        return next((it.name for it in self.mounts if it.create == VAST_LOCAL), "")

    @property
    def archives(self) -> tuple[str, ...]:
        """The digests of the archives that it cannot run without."""
        found = (self.source, None if self.image is None else self.image.context)
        return tuple(digest for digest in found if digest is not None)

    @property
    def needs(self) -> tuple[SecretRef, ...]:
        """The secrets of the function, and those that its mounts are opened with."""
        if not self.mounts:
            return self.secrets
        keys = dict.fromkeys(name for mount in self.mounts for name in mount.keys)
        return (*self.secrets, *(SecretRef(name) for name in keys))
