"""What a job printed, within bounds; and cut into lines for those who follow it."""

from __future__ import annotations

from collections import deque
from typing import Any

from apothic_backends.model.jobs import JobLogs

KEPT_CHARS = 1 << 20
"""Text kept of one job: its beginning, and its end once there is more than that."""

HOLD_S = 0.1
"""How long a line that is not finished waits for its end before it is told as it is."""

_PIECE = 4096
"""Shorter pieces of one stream are joined up to this, since each costs a hundred bytes."""

_MOST_LINES = 64
"""More lines than this that come at once are told as one event."""

Piece = tuple[int, str, str]
"""Attempt, stream and text."""


class JobLog:
    """Pieces of text in order; the middle goes when there is too much."""

    __slots__ = ("attempt", "dropped", "head", "open", "seq", "size", "tail")

    def __init__(self) -> None:
        self.head: deque[Piece] = deque()
        self.tail: deque[Piece] = deque()
        self.size = 0
        self.dropped = 0
        self.open: dict[str, str] = {}
        """The line of each stream that is not finished, and not told yet."""
        self.attempt = 0
        self.seq = 0
        """How many pieces of the latest attempt were told."""

    def add(self, attempt: int, stream: str, text: str) -> None:
        """Keep a piece; half of the bound is for the first pieces, half for the latest."""
        if not self.tail and self.size + len(text) <= KEPT_CHARS // 2:
            self.size += len(text)
            _extend(self.head, attempt, stream, text)
            return
        text_kept = text[-(KEPT_CHARS // 2) :]
        self.dropped += len(text) - len(text_kept)
        self.size += len(text_kept)
        _extend(self.tail, attempt, stream, text_kept)
        while self.size > KEPT_CHARS:
            _, _, gone = self.tail.popleft()
            self.size -= len(gone)
            self.dropped += len(gone)

    def read(self, attempt: int | None = None) -> JobLogs:
        """All that is kept, with a line that says what is missing."""
        gap: list[Piece] = []
        if self.dropped:
            gap = [(0, "gap", f"\n[... {self.dropped} characters dropped ...]\n")]
        pieces = [
            piece
            for piece in (*self.head, *gap, *self.tail)
            if attempt is None or piece[0] in (0, attempt)
        ]
        return JobLogs(
            stdout="".join(text for _, stream, text in pieces if stream != "stderr"),
            stderr="".join(text for _, stream, text in pieces if stream != "stdout"),
            text="".join(text for _, _, text in pieces),
            dropped=self.dropped,
        )

    # --- for followers --------------------------------------------------------------------------

    def lines(self, attempt: int, stream: str, text: str) -> list[dict[str, Any]]:
        """What to tell of new text: whole lines. The rest waits, unless it is long already.

        A carriage return ends a line too, as progress bars use it.
        """
        text = self.open.pop(stream, "") + text
        end = max(text.rfind("\n"), text.rfind("\r")) + 1
        whole, rest = (text[:end], text[end:]) if len(text) - end < _PIECE else (text, "")
        if rest:
            self.open[stream] = rest
        lines = [whole]
        if whole.count("\n") <= _MOST_LINES:
            *ended, last = whole.split("\n")
            lines = [f"{line}\n" for line in ended] + [last]
        return [self._told(attempt, stream, line) for line in lines if line]

    def hold(self, stream: str, text: str) -> None:
        """Have new text wait, as that its job has begun is still on its way."""
        self.open[stream] = self.open.get(stream, "") + text

    def rest(self, attempt: int) -> list[dict[str, Any]]:
        """What to tell when no more is to be waited for: unfinished lines as they are."""
        lines, self.open = self.open, {}
        return [self._told(attempt, stream, text) for stream, text in lines.items()]

    def _told(self, attempt: int, stream: str, text: str) -> dict[str, Any]:
        if attempt != self.attempt:
            self.attempt, self.seq = attempt, 0
        self.seq += 1
        return {"stream": stream, "text": text, "seq": self.seq}


def _extend(pieces: deque[Piece], attempt: int, stream: str, text: str) -> None:
    """Add a piece at the end, joined to the last one where both are short."""
    if pieces:
        last, of, before = pieces[-1]
        if (last, of) == (attempt, stream) and len(before) + len(text) <= _PIECE:
            pieces.pop()
            text = before + text
    pieces.append((attempt, stream, text))
