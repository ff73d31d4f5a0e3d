"""The options of `@app.function`: the one list, what each may be, and which work already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from apothic._values import is_dict, is_list, number, refuse, text, whole
from apothic.images import Image
from apothic.mounts import Source, StorageMount, mounts_of
from apothic.policies import Retries
from apothic.schedules import Cron, Period
from apothic.secret import Secret
from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.functions import RetryPolicy

if TYPE_CHECKING:
    from apothic.generation.config import LivConfig


class FunctionOptions(TypedDict, total=False):
    """What a function needs, how long it may take, and how much of it runs at once."""

    schedule: Cron | Period | None
    """When it runs by itself."""
    liv: LivConfig | dict[str, Any] | tuple[Any, ...] | None
    """Have its body generated."""
    gpu: str | list[str] | None
    """Models that will do, the best first: "H100", "RTX_4090"; each worker process has one to
    itself, and its code sees no other."""
    gpu_count: int | None
    """GPUs of one model for each worker process, where one is not enough."""
    min_vram_gb: int | None
    """Memory of each GPU, in GB as makers count them (10**9 bytes)."""
    geolocation: str | list[str] | None
    """Countries, as two letters. This and what follows, up to `secure_cloud_only`, choose a rented
    machine; your own is taken as it is, but for its GPUs."""
    offer_filters: dict[str, dict[str, Any]] | None
    """Comparisons with what a machine offers: `{"gpu_ram": {"gte": 10240}}`, in the market's names
    and units; eq, neq, gt, lt, gte, lte, in, notin. All of them count, beside all other options."""
    max_cost_per_hour_usd: float | None
    """With the disk that is asked for."""
    max_cost_per_tflop_hour_usd: float | None
    min_total_flops: float | None
    """TFLOPS (10**12 operations a second) of all GPUs together."""
    min_gpu_ram_bandwidth_gbps: float | None
    """GB/s."""
    min_cpu_cores: float | None
    min_cpu_ram_gb: float | None
    """GB of 10**9 bytes."""
    min_cpu_ghz: float | None
    min_disk_bandwidth_mb_s: float | None
    min_internet_upload_mbps: float | None
    min_internet_download_mbps: float | None
    secure_cloud_only: bool | None
    """Only machines in data centres."""
    cpu: int
    """Cores for each worker process; on a machine of one's own a limit only where it is given."""
    memory_mb: int
    """Memory for each worker process and what it starts; one that uses more is killed."""
    disk_gb: float | None
    """Free disk that a machine must have. No file that a worker writes grows larger; all of its
    files together may."""
    timeout_s: float
    """Seconds that one attempt may run, counted from its start."""
    retries: int | Retries | None
    """How often a failed call is tried again: a number (1 s apart), or a policy."""
    max_retries: int
    """The same as `retries=n`."""
    concurrent_requests: int
    """Calls that one worker process takes at once."""
    max_pending_tasks: int
    """Calls that may queue; beyond, `spawn` raises `QueueFull` and `map` waits for room."""
    max_containers: int
    """Worker processes at most."""
    tasks_per_container: int
    """Queued calls for each running worker process before another one starts."""
    image: Image | None
    secrets: list[Secret] | None
    volumes: Mapping[str, StorageMount | Source] | Sequence[StorageMount | Source] | None
    """What is mounted where: `[volume.mounted_at("/cache")]`, or `{"/cache": volume}`."""
    gpu_share: bool
    """Let worker processes of functions that share, too, have the same GPU, for as long as the
    `min_vram_gb` of all fit into its memory."""


DEFAULTS: FunctionOptions = {
    "cpu": 1,
    "memory_mb": 1024,
    "timeout_s": 600,
    "max_retries": 0,
    "concurrent_requests": 1,
    "max_pending_tasks": 100,
    "max_containers": 1,
    "tasks_per_container": 1,
}
"""What is meant where nothing is said; None for every other option."""

Rule = Callable[[str, Any], Any]
"""Checks the value of an option of that name, and gives it as it is kept."""


def checked(
    options: FunctionOptions, where: str, rules: Mapping[str, Rule] | None = None
) -> FunctionOptions:
    """Check options as they were written, for the function that `where` names.

    Raises:
        InvalidOption: one is unknown, of the wrong type or out of range, or two exclude each other.
    """
    good: dict[str, Any] = {}
    rules = rules or RULES
    for name, value in options.items():
        rule = rules.get(name)
        if rule is None:
            meant = _meant(name, rules)
            raise InvalidOption(f"{where}: there is no option {name!r}{meant}", option=name)
        if value is None and name not in DEFAULTS:
            continue
        try:
            good[name] = rule(name, value)
        except InvalidOption as error:
            raise InvalidOption(f"{where}: {error.message}", **error.data) from None
    if good.get("retries") is not None and good.get("max_retries"):
        raise InvalidOption(
            f"{where}: retries and max_retries say the same thing; keep one of them",
            option="retries",
        )
    result: FunctionOptions = good  # type: ignore[assignment]  # every key has had its rule
    placed(result, f"{where}: ")
    return result


def retry_policy(options: FunctionOptions) -> RetryPolicy:
    """When a failed attempt is tried again, from whichever of the two options says it."""
    retries = options.get("retries")
    if isinstance(retries, Retries):
        return retries.policy
    return RetryPolicy(max_retries=retries or options.get("max_retries", 0))


PLACING = frozenset(
    {
        *("gpu", "gpu_count", "min_vram_gb", "geolocation", "offer_filters", "disk_gb"),
        *("max_cost_per_hour_usd", "max_cost_per_tflop_hour_usd", "min_total_flops"),
        *("min_gpu_ram_bandwidth_gbps", "min_cpu_cores", "min_cpu_ram_gb", "min_cpu_ghz"),
        *("min_disk_bandwidth_mb_s", "min_internet_upload_mbps", "min_internet_download_mbps"),
        "secure_cloud_only",
    }
)
"""Options that say which machines will do."""


def placed(options: FunctionOptions, where: str = "") -> dict[str, Any]:
    """Which machines will do, as fields of a `FunctionSpec`.

    Raises:
        InvalidOption: no machine ever could, or a filter cannot be meant; `where` begins the text.
    """
    if PLACING.isdisjoint(options):
        return {}
    from apothic_backends.placement.compiling import wish_of  # for few  # noqa: PLC0415

    wish = wish_of(options, where)
    fields = {field: getattr(wish, field) for field in wish.fields}
    return {**fields, "disk_gb": float(options.get("disk_gb") or 0)}


def _meant(name: str, rules: Mapping[str, Rule]) -> str:
    """Guess what a mistyped option should have been."""
    from difflib import get_close_matches  # only for a message, and slow  # noqa: PLC0415

    close = get_close_matches(name, rules, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(rules)}"


def _at_least(low: int) -> Callable[[str, Any], int]:
    return lambda name, value: whole(name, value, low)


def _above_zero(name: str, value: Any) -> float:
    if number(name, value, 0) == 0:
        refuse(name, value, "a number above 0")
    return value


def _is_a(*types: type) -> Callable[[str, Any], Any]:
    wanted = " or ".join(t.__name__ for t in types)

    def rule(name: str, value: Any) -> Any:
        if not isinstance(value, types):
            refuse(name, value, f"a {wanted}")
        return value

    return rule


def _words(name: str, value: Any) -> Any:
    words = value if is_list(value) else [value]
    if not words:
        refuse(name, value, "a string, or a list with at least one")
    for word in words:
        text(name, word)
    return value


def _filters(name: str, value: Any) -> Any:
    if not is_dict(value):
        refuse(name, value, 'a dictionary such as {"gpu_ram": {"gte": 10240}}')
    for field, comparisons in value.items():
        if not is_dict(comparisons) or not comparisons:
            refuse(f"{name}[{field!r}]", comparisons, 'a dictionary such as {"gte": 10240}')
    return value


def _retries(name: str, value: Any) -> Any:
    return value if isinstance(value, Retries) else whole(name, value, 0)


def _liv(name: str, value: Any) -> Any:
    from apothic.generation.config import as_config  # for few functions  # noqa: PLC0415

    del name
    return as_config(value)


def _secrets(name: str, value: Any) -> Any:
    if not is_list(value):
        refuse(name, value, "a list of Secret")
    return [_is_a(Secret)(name, secret) for secret in value]


flagged = _is_a(bool)
"""For an option that is True or False."""

RULES: dict[str, Rule] = {
    "schedule": _is_a(Cron, Period),
    "liv": _liv,
    "gpu": _words,
    "gpu_count": _at_least(1),
    "min_vram_gb": _at_least(1),
    "geolocation": _words,
    "offer_filters": _filters,
    "max_cost_per_hour_usd": _above_zero,
    "max_cost_per_tflop_hour_usd": _above_zero,
    "min_total_flops": _above_zero,
    "min_gpu_ram_bandwidth_gbps": _above_zero,
    "min_cpu_cores": _above_zero,
    "min_cpu_ram_gb": _above_zero,
    "min_cpu_ghz": _above_zero,
    "min_disk_bandwidth_mb_s": _above_zero,
    "min_internet_upload_mbps": _above_zero,
    "min_internet_download_mbps": _above_zero,
    "secure_cloud_only": flagged,
    "cpu": _at_least(1),
    "memory_mb": _at_least(1),
    "disk_gb": _above_zero,
    "timeout_s": _above_zero,
    "retries": _retries,
    "max_retries": _at_least(0),
    "concurrent_requests": _at_least(1),
    "max_pending_tasks": _at_least(1),
    "max_containers": _at_least(1),
    "tasks_per_container": _at_least(1),
    "image": _is_a(Image),
    "secrets": _secrets,
    "volumes": mounts_of,
    "gpu_share": flagged,
}
