"""What is hidden in what an executor with secrets says: text that it prints, and errors.

Standard output and error are looked at as one text first, because people see them as one, and then
each by itself. Where jobs run side by side, each has texts of its own. In which order two pipes
were written to nobody can say who finds both full: then that counts in which more is hidden.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from apothic_backends.commands import TellProgress
from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.masks import Masks, Piece, Veil
from apothic_emulator.agent.logs import Read


class Texts:
    """The two streams of one job, or of all jobs that take turns."""

    def __init__(self, masks: Masks) -> None:
        self._both = Veil(masks)
        self._each = {"stdout": Veil(masks), "stderr": Veil(masks)}

    def feed(self, stream: str, text: str) -> list[Piece]:
        """Take text; gives what can be shown of it, each piece with its stream."""
        return self._show(self._both.feed(stream, text))

    def hits(self, text: str) -> int:
        """How many values there would be, if this came next."""
        return self._both.hits(text)

    def flush(self) -> list[Piece]:
        """Nothing follows; gives what was held back."""
        shown = self._show(self._both.flush())
        for veil in self._each.values():
            shown += veil.flush()
        return shown

    def _show(self, pieces: Iterable[Piece]) -> list[Piece]:
        return [one for stream, text in pieces for one in self._each[stream].feed(stream, text)]


class Veils:
    """The texts of one executor by job, and its errors."""

    def __init__(self, masks: Masks, *, is_shared: bool) -> None:
        self.masks = masks
        self._is_shared = is_shared
        self._texts: dict[int, Texts] = {}

    def feed(self, owner: int, stream: str, text: str) -> list[tuple[int, str, str]]:
        """Take text of a job (0: nobody knows whose); gives what can be shown, and whose it is."""
        return [(owner, *piece) for piece in self._of(owner).feed(stream, text)]

    def in_order(self, reads: list[Read]) -> list[Read]:
        """What was in the streams at one time, in the order in which it is to be fed."""
        if not all(pieces for _, pieces in reads):
            return reads
        return max(reads, reads[::-1], key=self._hits)

    def _hits(self, reads: list[Read]) -> int:
        texts: defaultdict[int, str] = defaultdict(str)
        for _, pieces in reads:
            for owner, text in pieces:
                texts[owner if self._is_shared else 0] += text
        return sum(self._of(owner).hits(text) for owner, text in texts.items())

    def _of(self, owner: int) -> Texts:
        key = owner if self._is_shared else 0
        texts = self._texts.get(key)
        if texts is None:
            texts = self._texts[key] = Texts(self.masks)
        return texts

    def flush(self, owner: int) -> list[tuple[int, str, str]]:
        """A job has ended; gives what was held back of its text."""
        texts = self._texts.pop(owner if self._is_shared else 0, None)
        return [] if texts is None else [(owner, *piece) for piece in texts.flush()]

    def flush_all(self) -> list[tuple[int, str, str]]:
        """The executor has ended."""
        return [piece for owner in list(self._texts) for piece in self.flush(owner)]

    def hide_in(self, command: Any) -> None:
        """Hide values in what is told by a command."""
        if isinstance(command, TellProgress):
            command.message = self.masks.text(command.message)

    def error(self, info: ErrorInfo) -> ErrorInfo:
        """An error without values; its exception goes if it has one, and the text stands in."""
        return hide(info, self.masks)


def hide(info: ErrorInfo, masks: Masks) -> ErrorInfo:
    """An error without values; its exception goes if it has one, and the text stands in."""
    kept = info.exception
    if kept is not None and any(masks.are_in(part) for part in (kept.data, *kept.buffers)):
        kept = None
    hidden: ErrorInfo = info.replace(
        message=masks.text(info.message),
        type_name=masks.text(info.type_name),
        traceback=masks.text(info.traceback),
        exception=kept,
    )
    return hidden
