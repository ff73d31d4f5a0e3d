"""How executors get their secrets: each from a thread of its own, over its private channel.

The vault may be slow, so nobody is kept waiting for it but the executor, which was told to expect
its secrets before it loads the function. What goes wrong goes the same way, and the executor
reports it as a failure to load.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

from apothic_backends.model.errors import ApothicError
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.masks import Masks
from apothic_emulator.agent.line import Line
from apothic_emulator.agent.safe import Given, Safe
from apothic_emulator.agent.veils import Veils
from apothic_emulator.executors import wire


class Delivery:
    """Gives secrets to executors, and knows which of them have old ones."""

    def __init__(self, flush: Callable[[Line], None]) -> None:
        self.safe = Safe()
        self._flush = flush

    def begin(self, line: Line, spec: FunctionSpec) -> None:
        """Give an executor that starts its secrets, as soon as they are found."""
        threading.Thread(
            target=self._deliver, args=(line, spec), name="apothic-secrets", daemon=True
        ).start()

    def is_stale(self, line: Line) -> bool:
        """Whether an executor has secrets that have changed since."""
        if line.secrets is None or line.keeps_secrets:
            return False
        return line.secrets != self.safe.version(line.needs)

    def _deliver(self, line: Line, spec: FunctionSpec) -> None:
        try:
            given = self._latest(line, spec)
        except ApothicError as error:
            told = {"code": error.code, "message": error.message, "type_name": "", "traceback": ""}
            line.reply(wire.FAILURE, 0, json.dumps(told).encode(), ())
        else:
            line.reply(wire.REPLY, 0, json.dumps([given.values, given.keys]).encode(), ())
        self._flush(line)

    def _latest(self, line: Line, spec: FunctionSpec) -> Given:
        """Values of which it is known that every job dispatched from now on may have them.

        A job that was dispatched before `secrets` was set saw no version to compare with.
        """
        while True:
            given = self.safe.give(spec)
            masks = Masks([*given.values.values(), *given.keys.values()])
            line.veils = Veils(masks, is_shared=spec.concurrent_requests > 1)
            line.secrets = given.version
            if not self.is_stale(line):
                return given
