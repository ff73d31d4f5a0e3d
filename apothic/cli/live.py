"""What is to be said of what happens to jobs: lines that stay, and rows that change.

    infer j:123 | a line that the job printed         a line; its function has a colour
    infer j:123 running 0.1 s                         a line, with -v
    jobs:124 queued > running 0.1 s > done 1.9 s      of the job that is watched: a row, then a line
    infer j:123 |  40 %|####      |                   a row: what a job has not finished printing
    infer  =====-----  120/300  41/s                  a row: calls of a function, see `rows`

Text that a carriage return has overwritten is not said: of a progress bar, its last state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apothic.cli.look import Look
from apothic.cli.seen import Seen, seconds
from apothic.cli.tally import Tally
from apothic_backends.model.events import Event

PAINTS = {"cyan": "36", "yellow": "33", "green": "32", "magenta": "35", "blue": "34"}
"""Colours of functions, in the order in which they appear, and what makes a terminal show them."""

_WORDS = {"succeeded": "done", "timed_out": "timed out"}

Limits = Callable[[str, str], int | None]
"""How many calls of a function (app, name) may run at once, as far as that is known."""


class View:
    """Takes events; `lines` are those to be printed since they were last taken."""

    def __init__(
        self, look: Look, *, is_watching: bool = False, limits: Limits | None = None
    ) -> None:
        self.look = look
        self.is_watching = is_watching
        """Whether one job's life is told; which one may be said later."""
        self.watched = ""
        self.lines: list[str] = []
        self.jobs: dict[str, Seen] = {}
        self.running: dict[str, Seen] = {}
        self.tallies: dict[tuple[str, str], Tally] = {}
        self._limits = limits
        self._lives: dict[str, list[str]] = {}
        self._ended_lives: dict[str, str] = {}
        self._rules: dict[str, Callable[[dict[str, Any]], None]] = {
            "job.snapshot": self._snapshot,
            "job.queued": self._queued,
            "job.running": self._running,
            "job.log": self._log,
            "log.gap": self._gap,
            "job.progress": self._progress,
            "job.retry": self._retry,
            "job.end": self._end,
            "stream.reset": self._reset,
        }

    def take(self, event: Event) -> None:
        """See what happens."""
        rule = self._rules.get(event.event)
        if rule is not None:
            rule(event.data)

    def take_lines(self) -> list[str]:
        """The lines to be printed now."""
        if self.watched in self._ended_lives:
            self.lines.append(self._ended_lives.pop(self.watched))
        lines, self.lines = self.lines, []
        return lines

    # --- what happens ---------------------------------------------------------------------------

    def _queued(self, data: dict[str, Any]) -> None:
        seen = self.jobs.get(data["job_id"])
        if seen is None:
            seen = self._meet(data)
            if seen.tally is not None:
                seen.tally.queued()
        else:
            self._stop(seen)
        seen.since = data["at"]
        self._tell(seen, "queued")

    def _snapshot(self, data: dict[str, Any]) -> None:
        if data["job_id"] in self.jobs:
            return
        seen = self._meet(data)
        seen.progress = data["progress"]
        if seen.tally is not None:
            seen.tally.found()
        started_at = data["started_at"]
        seen.since = data["submitted_at"]
        self._tell(seen, "queued")
        if started_at is not None:
            self._begin(seen, started_at)

    def _running(self, data: dict[str, Any]) -> None:
        seen = self.jobs.get(data["job_id"]) or self._meet(data)
        self._begin(seen, data["at"])
        if seen.tally is not None:
            self._hint(seen.tally, data["at"])

    def _log(self, data: dict[str, Any]) -> None:
        seen = self.jobs.get(data["job_id"]) or self._meet(data)
        stream: str = data["stream"]
        text: str = seen.texts.pop(stream, "") + data["text"]
        *ended, rest = text.split("\n")
        for line in ended:
            self.lines.append(seen.prefix + self._clean(_visible(line)))
        if rest:
            seen.texts[stream] = _visible(rest) + ("\r" if rest.endswith("\r") else "")

    def _gap(self, data: dict[str, Any]) -> None:
        seen = self.jobs.get(data["job_id"]) or self._meet(data)
        self._flush(seen)
        self.lines.append(f"{seen.prefix}[... {data['dropped']} characters dropped ...]")

    def _progress(self, data: dict[str, Any]) -> None:
        seen = self.jobs.get(data["job_id"])
        if seen is not None:
            seen.progress = data

    def _retry(self, data: dict[str, Any]) -> None:
        seen = self.jobs.get(data["job_id"]) or self._meet(data)
        self._flush(seen)
        self._stop(seen)
        seen.since = data["at"]
        seen.progress = None
        self._tell(seen, f"retry in {seconds(data['delay_s'])}: {_first_line(data['error'])}")

    def _end(self, data: dict[str, Any]) -> None:
        seen = self.jobs.pop(data["job_id"], None) or self._meet(data)
        self.jobs.pop(data["job_id"], None)
        self._flush(seen)
        since = seen.since if seen.is_running else None
        self._stop(seen)
        status: str = data["status"]
        word = _WORDS.get(status, status)
        self._tell(seen, word if since is None else f"{word} {seconds(data['at'] - since)}")
        self._end_life(seen.job_id)
        if seen.tally is not None:
            seen.tally.ended(is_success=status == "succeeded")
            self._hint(seen.tally, data["at"])
            self._sum_up(seen.tally, data["at"])

    def _reset(self, data: dict[str, Any]) -> None:
        for seen in self.jobs.values():
            self._flush(seen)
        self.jobs.clear()
        self.running.clear()
        for tally in self.tallies.values():
            tally.lost_sight()
        dropped = data.get("dropped")
        self.lines.append(f"[... {'some' if dropped is None else dropped} events dropped ...]")

    # --- steps of these -------------------------------------------------------------------------

    def _meet(self, data: dict[str, Any]) -> Seen:
        job_id: str = data["job_id"]
        app, name = data.get("app_name", ""), data.get("function_name", "")
        tally = None
        if name:
            tally = self.tallies.get((app, name))
            if tally is None:
                paints = list(PAINTS)
                tally = Tally(name, paints[len(self.tallies) % len(paints)])
                self.tallies[app, name] = tally
        seen = self.jobs[job_id] = Seen(job_id, tally)
        if self.look.is_colored and tally is not None:
            seen.prefix = f"\x1b[{PAINTS[tally.paint]}m{seen.label} |\x1b[0m "
        return seen

    def _begin(self, seen: Seen, at: float) -> None:
        waited = "" if seen.since is None else f" {seconds(at - seen.since)}"
        seen.since = at
        if not seen.is_running and seen.tally is not None:
            seen.tally.began(at)
        seen.is_running = True
        self.running[seen.job_id] = seen
        self._tell(seen, f"running{waited}")

    def _stop(self, seen: Seen) -> None:
        if seen.is_running and seen.tally is not None:
            seen.tally.stopped()
        seen.is_running = False
        self.running.pop(seen.job_id, None)

    def _flush(self, seen: Seen) -> None:
        """Say what a job has left unfinished."""
        texts, seen.texts = seen.texts, {}
        for text in texts.values():
            self.lines.append(seen.prefix + self._clean(_visible(text)))

    def _tell(self, seen: Seen, what: str) -> None:
        if self.is_watching and self.watched in ("", seen.job_id):
            self._lives.setdefault(seen.job_id, []).append(what)
        if self.look.is_verbose:
            self.lines.append(f"{seen.label} {what}")

    def _end_life(self, job_id: str) -> None:
        if job_id in self._lives:
            text = self.life(job_id)
            del self._lives[job_id]
            if self.watched in ("", job_id):
                self._ended_lives[job_id] = text

    def _hint(self, tally: Tally, now: float) -> None:
        """Say once that calls wait for each other."""
        if tally.is_hinted or not tally.is_starved(now):
            return
        tally.is_hinted = True
        app = next(app for (app, _), known in self.tallies.items() if known is tally)
        if self._limits is None or self._limits(app, tally.name) in (None, 1):
            self.lines.append(
                f"hint: {tally.known} calls of {tally.name} run one at a time; "
                "@app.function(max_containers=4) runs more at once"
            )

    def _sum_up(self, tally: Tally, now: float) -> None:
        """Leave a line where there was a row."""
        if tally.is_shown and not tally.open:
            failed = f", {tally.failed} failed" if tally.failed else ""
            took = seconds(tally.seconds(now))
            self.lines.append(f"{tally.name}: {tally.known} calls in {took}{failed}")

    def _clean(self, line: str) -> str:
        """A line of the user's as it may stand on this screen."""
        if "\x1b" not in line or not (self.look.is_live or self.look.is_colored):
            return line
        from apothic.cli.escapes import only_colors  # rarely needed  # noqa: PLC0415

        return only_colors(line)

    # --- rows -----------------------------------------------------------------------------------

    def life(self, job_id: str) -> str:
        """What has become of a job, in one line; empty if that is not told."""
        told = self._lives.get(job_id)
        return f"{job_id} {' > '.join(told)}" if told else ""

    def has_rows(self) -> bool:
        """Whether there is anything that changes."""
        is_map = any(tally.open and tally.is_map for tally in self.tallies.values())
        is_told = self.watched in self._lives
        return is_map or is_told or any(s.progress or s.texts for s in self.running.values())

    def rows(self, now: float, width: int) -> list[str]:
        """What changes, as it is now."""
        from apothic.cli.bars import draw  # costs two interpreters  # noqa: PLC0415

        maps = [tally for tally in self.tallies.values() if tally.open and tally.is_map]
        told = [seen for seen in self.running.values() if seen.progress and not seen.is_of_map]
        for tally in maps:
            tally.is_shown = True
        texts = [self.life(self.watched), self.open_text()]
        return draw(maps, told, texts, now, width, is_colored=self.look.is_colored)

    def open_text(self) -> str:
        """What the one job that runs has not finished printing, if it is one."""
        seen = next(iter(self.running.values()), None)
        if seen is None or not seen.texts or len(self.running) > 1:
            return ""
        return seen.prefix + self._clean(_visible(list(seen.texts.values())[-1]))


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _visible(line: str) -> str:
    """What a terminal shows of a line: carriage returns write over what stands before them."""
    if "\r" not in line:
        return line
    return next((part for part in reversed(line.split("\r")) if part), "")
