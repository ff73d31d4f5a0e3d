"""Stubs, and what is kept of answers to them."""

from __future__ import annotations

import pytest

from apothic.generation.checks import kept
from apothic.generation.findings import Finding, Refused
from apothic.generation.stubs import Stub

NORMALIZE = '''\
def normalize(status: str, *, prefix: str = "status:") -> str:
    """Return the prefix, followed by the status in lower case, without blanks around it."""
    raise NotImplementedError'''
GOOD = """\
def normalize(status, *, prefix="status:"):
    return prefix + status.strip().lower()
"""


def stub_of(source: str = NORMALIZE, *imports: str) -> Stub:
    """A stub as it is read of a file."""
    name = source.partition("def ")[2].partition("(")[0]
    return Stub("shop", name, "function", source, imports)


def answered(answer: str, allowed: set[str] | None = None, stub: Stub | None = None) -> str:
    """What is kept of an answer."""
    return kept(answer, stub or stub_of(), None if allowed is None else frozenset(allowed))


def bodied(*lines: str) -> str:
    """An answer that has these lines before it returns."""
    body = "".join(f"    {line}\n" for line in lines)
    return f"def normalize(status, *, prefix='status:'):\n{body}    return prefix + status\n"


def refused(
    answer: str, allowed: set[str] | None = None, stub: Stub | None = None
) -> tuple[Finding, ...]:
    """Why an answer is not used."""
    with pytest.raises(Refused) as caught:
        answered(answer, allowed, stub)
    return caught.value.findings
