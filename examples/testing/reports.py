"""An app as it may stand anywhere: a fetch that is tried for hours, and a report every morning."""

from __future__ import annotations

from apothic import App, Cron, Retries

app = App("reports")


@app.function(retries=Retries(max_retries=180, initial_delay=60, backoff_coefficient=1))
def fetch(source: str) -> str:
    raise ConnectionError(f"{source} does not answer")


@app.function(schedule=Cron("0 7 * * *", "Europe/Berlin"), retries=1)
def report() -> str:
    return "sent"
