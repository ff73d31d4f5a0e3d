"""Whether the server is up, for whoever restarts it; and its figures, for whoever watches it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from apothic_emulator.server.guard import Guard, Receive, Scope, Send
from apothic_emulator.server.problems import encode
from apothic_emulator.server.responses import respond
from apothic_emulator.server.site import Site

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Health:
    """Says whether requests are served."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """200 while it serves; 503 when it is about to end, or an account cannot go on."""
        status = self._status()
        await respond(send, encode({"status": status}), 200 if status == "ok" else 503)

    def _status(self) -> str:
        if self._site.waits.is_over:
            return "draining"
        return "broken" if self._site.accounts.dead() else "ok"


class Figures(Collector):
    """What there is to count, taken when it is asked for."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.guard: Guard | None = None

    def collect(self) -> list[GaugeMetricFamily | CounterMetricFamily]:
        """All figures; jobs by account and by what they do."""
        site = self._site
        jobs = GaugeMetricFamily(
            "apothic_jobs", "Jobs that are known and have not ended", labels=["account", "status"]
        )
        workers = GaugeMetricFamily("apothic_workers", "Worker processes", labels=["account"])
        for account in list(site.accounts.opened.values()):
            for status, count in account.jobs().items():
                jobs.add_metric([account.name, status], count)
            workers.add_metric([account.name], account.workers())
        requests = CounterMetricFamily("apothic_requests", "Requests", labels=["path"])
        for path, count in sorted(site.counts.items()):
            requests.add_metric([path], count)
        open_now = GaugeMetricFamily(
            "apothic_open_requests",
            "Requests and WebSockets under way",
            value=self.guard.going_on if self.guard is not None else 0,
        )
        keys = GaugeMetricFamily("apothic_keys", "API keys", value=len(site.keys))
        return [jobs, workers, requests, open_now, keys]


class Metrics:
    """`GET /metrics`, as Prometheus reads it."""

    def __init__(self, figures: Figures) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(figures)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """All figures as text."""
        await respond(send, generate_latest(self._registry), kind=CONTENT_TYPE)
