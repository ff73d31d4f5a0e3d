"""What `apothic dev` says: lines for people, or one JSON document a line for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

Put = Callable[[str], object]

WAIT_MS = 50
"""What is worth a word: after two saves in a row the next interpreter is not warm yet."""

KEYS = "r reload  p pause  q quit"
_DIM, _BOLD, _RED, _PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[31m", "\x1b[0m"


class Lines:
    """Says what happens; `put` takes a line of text, `put_json` one for programs."""

    def __init__(self, put: Put, put_json: Put | None = None, *, has_color: bool = False) -> None:
        self._put = put
        self._put_json = put_json
        self._has_color = has_color
        self._broken = ""
        """The error that was shown last, and still holds."""

    @property
    def is_broken(self) -> bool:
        """Whether what was said last is that a version cannot be deployed."""
        return bool(self._broken)

    def note(self, text: str) -> None:
        """Say something that is not about a moment."""
        self._say("note", text, {"text": text})

    def open(self, url: str, root: str, namespace: str) -> None:
        """Say where the control plane is."""
        text = f"{self._paint(_BOLD, 'control plane')}  {url}   {root}, state {namespace}"
        self._say("open", text, {"url": url, "project": root, "namespace": namespace})

    def watching(self, count: int) -> None:
        """Say what is watched."""
        text = f"watching the {count} files that ship: apothic package --list"
        self._say("watching", text, {"files": count})

    def deployed(self, told: dict[str, Any], changed: str) -> None:
        """Say what is live, because of which files, and how many milliseconds what took."""
        self._broken = ""
        news = "is live" if told["is_new"] else "is live: nothing that ships has changed"
        waited = f"waited {told['wait_ms']:.0f}, " if told["wait_ms"] >= WAIT_MS else ""
        took = (
            f": {changed} (detected {told['detect_ms']:.0f}, {waited}loaded {told['load_ms']:.0f}, "
            f"deployed {told['deploy_ms']:.0f} ms)"
        )
        line = f"{told['app']} version {told['version']} {news}{took if changed else ''}"
        self._say("deployed", self._at(line), {**told, "changed": changed})

    def served(self, told: dict[str, Any]) -> None:
        """Say what a program has, the first time or when that is something else."""
        parts = [(name, it["url"], it["shape"]) for name, it in told["services"].items()]
        parts += [
            (name, "by itself" if name in told["scheduled"] else "", "function")
            for name in told["functions"]
        ]
        width = max((len(name) for name, *_ in parts), default=0)
        for name, where, kind in parts:
            line = f"  {name:{width}}  {kind:10}  {where}"
            self._say("serves", line.rstrip(), {"name": name, "kind": kind, "url": where})

    def up(self, name: str, version: int, took_ms: float | None) -> None:
        """Say that a service answers, of that version."""
        took = "" if took_ms is None else f", {took_ms:.0f} ms after the save"
        text = f"{name} is up in version {version}{took}"
        self._say("up", self._at(text), {"name": name, "version": version, "ms": took_ms})

    def broken(self, text: str, told: dict[str, Any], version: int | None) -> None:
        """Say what is wrong, once."""
        stays = (
            "waiting for a version that can" if version is None else f"version {version} goes on"
        )
        is_new, self._broken = text != self._broken, text
        said = f"not deployed: {stays}" if is_new else f"not deployed, as before: {stays}"
        shown = f"\n{text.rstrip()}" if is_new else ""
        line = self._at(self._paint(_RED, said)) + shown
        self._say("broken", line, {"error": told, "version": version})

    def failed(self, name: str, why: str, *, goes_on: bool) -> None:
        """Say that a service of the live version does not start."""
        stays = ": the version before goes on" if goes_on else ""
        line = self._at(self._paint(_RED, f"{name} does not start{stays}")) + f"\n{why.rstrip()}"
        self._say("failed", line, {"name": name, "error": why})

    def event(self, text: str) -> None:
        """Say what has happened just now."""
        self._say("event", self._at(text), {"text": text})

    def _at(self, text: str) -> str:
        return f"{self._paint(_DIM, time.strftime('%H:%M:%S'))}  {text}"

    def _paint(self, code: str, text: str) -> str:
        return f"{code}{text}{_PLAIN}" if self._has_color else text

    def _say(self, what: str, line: str, told: dict[str, Any]) -> None:
        if self._put_json is None:
            self._put(line)
        else:
            self._put_json(json.dumps({"schema": "apothic.dev.v1", "event": what, **told}))
