"""What is wrong with an answer, in words for the model that gave it and for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

MOST_FINDINGS = 20


class Finding(NamedTuple):
    """Something that keeps an answer from being used, and what to write instead."""

    rule: str
    """Which rule it breaks, in a word; `import`, `name` or `syntax`, say."""
    line: int
    """Where, counted from 1 in the code of the answer; 0 where it is no line's fault."""
    text: str


class Refused(Exception):
    """An answer is not used; `findings` says why, in the order of its lines."""

    findings: tuple[Finding, ...]

    def __init__(self, findings: Iterable[Finding]) -> None:
        found = sorted({*findings}, key=lambda finding: (finding.line, finding))
        self.findings = tuple(found[:MOST_FINDINGS])
        places = (f"line {line}: " if line else "" for _, line, _ in self.findings)
        texts = (finding.text for finding in self.findings)
        super().__init__("\n".join(map("".join, zip(places, texts, strict=True))))


def refuse(rule: str, text: str, line: int = 0) -> Refused:
    """An error of one finding."""
    return Refused([Finding(rule, line, text)])
