"""A registered function: its name, its limits and its code."""

from __future__ import annotations

from collections.abc import Mapping

from apothic_backends.model.archives import check_digest, check_inside
from apothic_backends.model.errors import InvalidOption, UsageError
from apothic_backends.model.functions import BatchPolicy, FunctionSpec
from apothic_backends.model.instances import ClassSpec
from apothic_backends.model.payloads import Payload
from apothic_backends.model.services import SHAPES, ServiceSpec

_AT_LEAST_ONE = (
    "concurrent_requests",
    "max_pending_tasks",
    "max_containers",
    "tasks_per_container",
    "memory_mb",
)
NOTHING = {"memory": "none", "cpu": "none"}
"""What limits are kept by where nothing keeps them."""
LEVELS = ("file", "quota")
"""By what `disk_gb` is kept: no file grows larger, or all that is written together does not."""

MOST_BATCHED = 1000
"""The most inputs of one call."""

MOST_WAIT_S = 600.0
"""The longest that the first input of a batch may wait for others."""

MOST_GRACE_S = 3600.0
"""The most that a process of a service gets to finish what it has begun."""

HIGHEST_PORT = 65535

_AT_LEAST_ZERO = ("max_retries", "initial_delay_s", "backoff_coefficient", "max_delay_s")


class Function:
    """One version of a function; a changed spec or changed code is another one."""

    __slots__ = (
        "_enforced",
        "_levels",
        "_methods",
        "code",
        "function_id",
        "method",
        "number",
        "spec",
        "told",
    )

    def __init__(
        self, number: int, spec: FunctionSpec, code: Payload, enforced: Mapping[str, str]
    ) -> None:
        self.number = number
        self.function_id = f"functions:{number}"
        self.spec = spec
        self.code = code
        self._enforced = enforced
        self._levels: dict[str, str] = {}
        """What counts over that, as the latest of its executors has told; its methods share it."""
        self.told = {"app_name": spec.app_name, "function_name": spec.name}
        """What watchers hear of it when a job is queued; shared by all those events."""
        self.method = ""
        """Which method of an instance it stands for, if it does."""
        self._methods: dict[str, Function] | None = None

    def of_method(self, name: str) -> Function:
        """What a call of a method is a call of: the same function under the method's own name.

        Raises:
            UsageError: there is no such method, or no call of the function names one.
        """
        if self._methods is None:
            self._methods = {}
        found = self._methods.get(name)
        if found is None:
            found = self._methods[name] = self._make_method(name)
        return found

    def _make_method(self, name: str) -> Function:
        spec, cls = self.spec, self.spec.cls
        if cls is None:
            raise UsageError(f"{spec.name!r} is a function, and has no method {name!r}")
        known = {method.name: method for method in cls.methods}
        if name not in known:
            there = ", ".join(known)
            raise UsageError(f"{spec.name} has no method {name!r}; there are: {there}")
        its = spec.replace(name=f"{spec.name}.{name}", is_generator=known[name].is_generator)
        one = Function(self.number, its, self.code, self._enforced)
        one.method, one._levels = name, self._levels
        return one

    def keeps(self, disk: str) -> None:
        """An executor of it has loaded, and says by what its `disk_gb` is kept where it is."""
        if disk in LEVELS:
            self._levels["disk"] = disk

    def limits(self) -> dict[str, str]:
        """By what its limits are kept, each by name; "none" where nothing keeps them."""
        held = {**self._enforced, **self._levels}
        if self.spec.cpu is None:
            held["cpu"] = "none"
        disk = held.pop("disk", "none")
        return {**held, "disk": disk} if self.spec.disk_gb else held


def check_spec(spec: FunctionSpec) -> None:
    """See to it that calls can run at all under these limits.

    Raises:
        InvalidOption: they cannot; the message says which limit to change.
    """
    _check_least(spec)
    _check_source(spec)
    _check_gpus(spec)
    _check_placement(spec)
    if not 0 <= spec.target_requests <= spec.concurrent_requests:
        raise InvalidOption(
            f"target_requests={spec.target_requests} of {spec.name!r}: it must be from 0 to "
            f"concurrent_requests ({spec.concurrent_requests})",
            option="target_requests",
        )
    if not spec.timeout_s > 0:
        raise InvalidOption(
            f"timeout_s={spec.timeout_s} of {spec.name!r}: it must be more than 0",
            option="timeout_s",
        )
    for option in _AT_LEAST_ZERO:
        value = getattr(spec.retries, option)
        if not value >= 0:
            raise InvalidOption(
                f"{option}={value} of {spec.name!r}: it must be at least 0", option=option
            )
    if spec.batch is not None:
        _check_batch(spec.name, spec.batch)
    if spec.service is not None:
        _check_service(spec.name, spec.service)
    if spec.cls is not None:
        _check_class(spec.name, spec.cls)


def _check_class(name: str, cls: ClassSpec) -> None:
    names = [method.name for method in cls.methods]
    if not names or len({*names}) < len(names):
        raise InvalidOption(
            f"the class {name!r} has the methods {names}: it takes at least one, each once",
            option="methods",
        )
    if cls.keep_warm_s is not None and not cls.keep_warm_s >= 0:
        raise InvalidOption(
            f"keep_warm_s={cls.keep_warm_s} of {name!r}: it must be at least 0",
            option="keep_warm_s",
        )
    if cls.lifetime_s is not None and not cls.lifetime_s > 0:
        raise InvalidOption(
            f"lifetime_s={cls.lifetime_s} of {name!r}: it must be more than 0", option="lifetime_s"
        )
    if cls.max_restarts < -1:
        raise InvalidOption(
            f"max_restarts={cls.max_restarts} of {name!r}: it must be at least 0, or -1 for always",
            option="max_restarts",
        )


def _check_least(spec: FunctionSpec) -> None:
    for option in _AT_LEAST_ONE:
        value = getattr(spec, option)
        if value < 1:
            raise InvalidOption(
                f"{option}={value} of {spec.name!r}: it must be at least 1", option=option
            )


def _check_source(spec: FunctionSpec) -> None:
    for digest in spec.archives:
        check_digest(digest)
    for path in spec.path:
        check_inside(path)
    if spec.image is not None:
        from apothic_backends.images.steps import paths  # few  # noqa: PLC0415

        for path in paths(spec.image):
            check_inside(path)


def _check_gpus(spec: FunctionSpec) -> None:
    if spec.gpu_count < 0 or spec.min_vram_gb < 0:
        raise InvalidOption(
            f"gpu_count={spec.gpu_count}, min_vram_gb={spec.min_vram_gb} of {spec.name!r}: they "
            "must be at least 0",
            option="gpu_count",
        )
    if not spec.gpu_count and (spec.gpu or spec.min_vram_gb):
        raise InvalidOption(
            f"{spec.name!r} wants a GPU, and gpu_count=0: it must be at least 1",
            option="gpu_count",
        )
    if spec.gpu_share and not spec.gpu_count:
        raise InvalidOption(
            f"gpu_share=True of {spec.name!r}: it asks for no GPU that it could share; say which "
            "with gpu, gpu_count or min_vram_gb",
            option="gpu_share",
        )


def _check_placement(spec: FunctionSpec) -> None:
    if not spec.disk_gb >= 0:
        raise InvalidOption(
            f"disk_gb={spec.disk_gb} of {spec.name!r}: it must be at least 0", option="disk_gb"
        )
    if spec.placement:
        from apothic_backends.placement.compiling import check_placement  # few  # noqa: PLC0415

        check_placement(spec)


def _check_service(name: str, service: ServiceSpec) -> None:
    good = {
        "shape": service.shape in SHAPES,
        "keep_warm_s": service.keep_warm_s >= 0,
        "start_timeout_s": service.start_timeout_s > 0,
        "grace_s": 0 <= service.grace_s <= MOST_GRACE_S,
        "port": 0 <= service.port <= HIGHEST_PORT,
    }
    for option, is_good in good.items():
        if not is_good:
            raise InvalidOption(
                f"{option}={getattr(service, option)!r} of the service {name!r} cannot be meant",
                option=option,
            )


def _check_batch(name: str, batch: BatchPolicy) -> None:
    if not 1 <= batch.max_size <= MOST_BATCHED:
        raise InvalidOption(
            f"max_size={batch.max_size} of {name!r}: it must be from 1 to {MOST_BATCHED}",
            option="max_size",
        )
    if not 0 <= batch.wait_s <= MOST_WAIT_S:
        raise InvalidOption(
            f"wait_s={batch.wait_s} of {name!r}: it must be from 0 to {MOST_WAIT_S:g}",
            option="wait_s",
        )
