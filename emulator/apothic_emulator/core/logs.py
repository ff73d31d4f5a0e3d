"""What a job printed, within bounds."""

from __future__ import annotations

from collections import deque

from apothic_backends.model.jobs import JobLogs

KEPT_CHARS = 1 << 20
"""Text kept of one job: its beginning, and its end once there is more than that."""

_PIECE = 4096
"""Shorter pieces of one stream are joined up to this, since each costs a hundred bytes."""


class JobLog:
    """Pieces of text in order, each with its stream; the middle goes when there is too much."""

    __slots__ = ("dropped", "head", "size", "tail")

    def __init__(self) -> None:
        self.head: deque[tuple[str, str]] = deque()
        self.tail: deque[tuple[str, str]] = deque()
        self.size = 0
        self.dropped = 0

    def add(self, stream: str, text: str) -> None:
        """Keep a piece; half of the bound is for the first pieces, half for the latest."""
        if not self.tail and self.size + len(text) <= KEPT_CHARS // 2:
            self.size += len(text)
            _extend(self.head, stream, text)
            return
        text_kept = text[-(KEPT_CHARS // 2) :]
        self.dropped += len(text) - len(text_kept)
        self.size += len(text_kept)
        _extend(self.tail, stream, text_kept)
        while self.size > KEPT_CHARS:
            _, gone = self.tail.popleft()
            self.size -= len(gone)
            self.dropped += len(gone)

    def read(self) -> JobLogs:
        """All that is kept, with a line that says what is missing."""
        gap = [("gap", f"\n[... {self.dropped} characters dropped ...]\n")] if self.dropped else []
        pieces = [*self.head, *gap, *self.tail]
        return JobLogs(
            stdout="".join(text for stream, text in pieces if stream != "stderr"),
            stderr="".join(text for stream, text in pieces if stream != "stdout"),
            text="".join(text for _, text in pieces),
            dropped=self.dropped,
        )


def _extend(pieces: deque[tuple[str, str]], stream: str, text: str) -> None:
    """Add a piece at the end, joined to the last one where both are short."""
    if pieces and pieces[-1][0] == stream and len(pieces[-1][1]) + len(text) <= _PIECE:
        text = pieces.pop()[1] + text
    pieces.append((stream, text))
