"""What calls have taken, and what that costs: whole numbers throughout, so that sums are exact.

Money is in nano-USD, a billionth of a dollar; prices are in pico-USD for a second, a thousandth of
that, since a second of a core costs a few millionths of a dollar.
"""

from __future__ import annotations

from apothic_backends.model.gpus import is_model
from apothic_backends.model.record import Record

NANO, PICO = 10**9, 10**12
"""Parts of a dollar."""


class Prices(Record):
    """What a second costs, in pico-USD: of a core, of a GiB of memory, of a GPU by its model."""

    cpu: int = 0
    memory_gib: int = 0
    gpu: dict[str, int] = {}  # noqa: RUF012 - never mutated

    def of(self, cpu: float, memory_mb: int, gpu: str = "", gpu_count: int = 0) -> int:
        """What a second of something that has all these costs, in pico-USD.

        `gpu` is what the device is called. One of a model that has no price costs nothing; of
        several that it is, the longest name counts.
        """
        models = [model for model in self.gpu if is_model(gpu, model)] if gpu_count else []
        gpus = self.gpu[max(models, key=len)] * gpu_count if models else 0
        return round(self.cpu * cpu) + self.memory_gib * memory_mb // 1024 + gpus


class CostLine(Record):
    """What calls of one function took on one day: UTC, of which `day_at` is the beginning.

    `day_at` is in Unix seconds; an attempt belongs to the day on which it ended. `kind` says what
    ran: "job", or "service", whose `attempts` are processes that were up, with requests or without,
    each on the day on which it was ready. For so many `attempts` executors were held for
    `microseconds` in all, each with so many cores, so much memory and such GPUs; calls that share
    an executor share its time. Lines that were too many to be kept one by one are one without
    names, the first.
    """

    day_at: int
    app_name: str
    function_name: str
    kind: str
    cpu: float
    memory_mb: int
    gpu: str
    gpu_count: int
    attempts: int
    microseconds: int
    nano_usd: int

    def estimate_nano_usd(self, prices: Prices) -> int:
        """What it would cost at these prices."""
        rate = prices.of(self.cpu, self.memory_mb, self.gpu, self.gpu_count)
        return self.microseconds * rate // NANO


class CostReport(Record):
    """What an account has used: the oldest day first.

    Without prices nothing is charged, so that lines cost nothing. `balance_nano_usd` is None for an
    account that was never given one: it may use whatever it likes. Where nothing is charged,
    `estimate_nano_usd` is what it would cost at the prices of the project that asks, if any.
    """

    lines: tuple[CostLine, ...]
    has_prices: bool
    balance_nano_usd: int | None = None
    estimate_nano_usd: int | None = None

    def estimated(self, prices: Prices | None) -> CostReport:
        """With what it would cost at these prices."""
        if prices is None or self.has_prices:
            return self
        nano_usd = sum(line.estimate_nano_usd(prices) for line in self.lines)
        report: CostReport = self.replace(estimate_nano_usd=nano_usd)
        return report

    @property
    def attempts(self) -> int:
        """How many attempts there were."""
        return sum(line.attempts for line in self.lines)

    @property
    def seconds(self) -> float:
        """How long they held executors, in all."""
        return sum(line.microseconds for line in self.lines) / 1e6

    @property
    def nano_usd(self) -> int:
        """What is charged for them."""
        return sum(line.nano_usd for line in self.lines)

    @property
    def usd(self) -> float:
        """What is charged for them, in dollars; `nano_usd` is exact."""
        return self.nano_usd / NANO
