"""Finds values of secrets in text, however it comes in pieces, and has `***` in their place.

What is found: each value, each line of one that has several, and both in base64 (wherever in the
encoded text they begin, padded or not, in either alphabet), in hexadecimal, as in a URL, in JSON
and in a Python literal. What is shorter than 8 characters is not looked for: too much would be
hidden that is no secret. A value that was changed in any other way is not found.

Every form begins with its *stem* of 8 characters. One regular expression finds stems, and a form
is compared only where its stem is; so text without secrets costs one search, and no text costs
more than a few comparisons a character.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

MASK: Final = "***"
SHORTEST: Final = 8
"""Characters of the shortest form that is looked for."""

_PROBE: Final = 64
"""So much is compared before a long text is copied to compare the rest."""

Piece = tuple[str, str]
"""A tag, such as the name of a stream, and text."""


class Masks:
    """The forms of some values."""

    def __init__(self, values: Iterable[str]) -> None:
        self._by_stem: dict[str, list[str]] = {}
        for form in sorted(forms_of(values), key=len, reverse=True):
            self._by_stem.setdefault(form[:SHORTEST], []).append(form)
        self._beginnings = {stem[:size] for stem in self._by_stem for size in range(1, SHORTEST)}
        self.longest = max((len(forms[0]) for forms in self._by_stem.values()), default=0)
        stems = "|".join(re.escape(stem) for stem in sorted(self._by_stem)) or "(?!)"
        self._stem = re.compile(stems)
        self._encoded_stem = re.compile(stems.encode())

    def text(self, text: str) -> str:
        """A whole text without the values."""
        if not self._stem.search(text) and self.pending(text) == len(text):
            return text
        veil = Veil(self)
        return "".join(piece for _, piece in [*veil.feed("", text), *veil.flush()])

    def are_in(self, data: bytes | bytearray | memoryview) -> bool:
        """Whether UTF-8 text with one of the values is in these bytes."""
        whole = bytes(data)
        return any(
            whole.startswith(form.encode(), match.start())
            for match in self._encoded_stem.finditer(whole)
            for form in self._by_stem[match.group().decode()]
        )

    def found(self, text: str) -> Iterator[tuple[int, int]]:
        """Where forms begin, and where the longest that begins there ends."""
        at = 0
        while match := self._stem.search(text, at):
            start = match.start()
            at = start + 1
            for form in self._by_stem[match.group()]:
                if text.startswith(form, start):
                    yield start, start + len(form)
                    break

    def pending(self, text: str) -> int:
        """Where the first form may begin of which the end has not come; the length if none."""
        at = max(0, len(text) - self.longest + 1)
        while match := self._stem.search(text, at):
            start = match.start()
            at = start + 1
            if any(_is_begun(form, text, start) for form in self._by_stem[match.group()]):
                return start
        short = range(max(0, len(text) - SHORTEST + 1), len(text))
        return next((at for at in short if text[at:] in self._beginnings), len(text))


def _is_begun(form: str, text: str, start: int) -> bool:
    """Whether all that the text has from there on is the beginning of a form."""
    left = len(text) - start
    likely = left < len(form) and text.startswith(form[: min(left, _PROBE)], start)
    return likely and form.startswith(text[start:])


class Veil:
    """Text that comes in pieces, each with a tag, as one text; gives what can be shown of it.

    The end of what has come is held back while it may be the beginning of a value. What overlaps is
    hidden as one, at the tag where it begins.
    """

    def __init__(self, masks: Masks) -> None:
        self._masks = masks
        self._held: list[Piece] = []
        self._hidden = 0
        """How much of the beginning of what is held back was hidden already."""

    def feed(self, tag: str, text: str) -> list[Piece]:
        """Take a piece; gives what can be shown."""
        pieces = [*self._held, (tag, text)]
        whole = text if len(pieces) == 1 else "".join(text for _, text in pieces)
        return self._show(pieces, whole, self._masks.pending(whole))

    def hits(self, text: str) -> int:
        """How many values there would be, if this came next."""
        whole = "".join([*(held for _, held in self._held), text])
        return sum(1 for _ in self._masks.found(whole))

    def flush(self) -> list[Piece]:
        """Nothing follows; gives what is left. The beginning of a value is hidden if it is long."""
        pieces, whole = self._held, "".join(text for _, text in self._held)
        shown = self._show(pieces, whole, len(whole))
        self._hidden = 0
        return shown

    def _show(self, pieces: list[Piece], whole: str, end: int) -> list[Piece]:
        """Show everything before `end`, where all is known; hold back the rest."""
        shown: list[Piece] = []
        at = self._hidden
        for start, stop in self._hits(whole, end):
            if start >= at:
                shown += _cut(pieces, at, start)
                shown.append((_cut(pieces, start, start + 1)[0][0], MASK))
            at = max(at, stop)
        if at < end:
            shown += _cut(pieces, at, end)
        self._held = _cut(pieces, end, len(whole))
        self._hidden = max(0, at - end)
        return shown

    def _hits(self, whole: str, end: int) -> Iterator[tuple[int, int]]:
        """What is to be hidden that begins before `end`."""
        for start, stop in self._masks.found(whole):
            if start < end:
                yield start, stop
        if end == len(whole):  # of a value that is cut off, no more than its stem may be seen
            cut = self._masks.pending(whole)
            if end - cut >= SHORTEST:
                yield cut, end


def _cut(pieces: list[Piece], start: int, end: int) -> list[Piece]:
    """What lies between two places of the joined pieces."""
    found: list[Piece] = []
    at = 0
    for tag, text in pieces:
        part = text[max(0, start - at) : max(0, end - at)]
        if part:
            found.append((tag, part))
        at += len(text)
    return found


# --- the forms of a value -------------------------------------------------------------------------


def forms_of(values: Iterable[str]) -> set[str]:
    """What values may look like in text."""
    found: set[str] = set()
    for value in values:
        for plain in {value, value.strip(), *(line.strip() for line in value.splitlines())}:
            if len(plain) >= SHORTEST:
                found |= set(_forms(plain))
    return {form for form in found if len(form) >= SHORTEST}


def _forms(plain: str) -> Iterator[str]:
    data = plain.encode()
    yield plain
    yield data.hex()
    yield data.hex().upper()
    for encoded in (quote(plain), quote(plain, safe=""), quote_plus(plain)):
        yield encoded
        yield re.sub("%[0-9A-F]{2}", lambda match: match.group().lower(), encoded)
    yield json.dumps(plain)[1:-1]
    yield json.dumps(plain, ensure_ascii=False)[1:-1]
    yield repr(plain)[1:-1]
    yield ascii(plain)[1:-1]
    yield repr(data)[2:-1]
    for before in range(3):
        for form in _base64(data, before):
            yield form
            yield form.replace("+", "-").replace("/", "_")


def _base64(data: bytes, before: int) -> Iterator[str]:
    """The base64 of a value that `before` bytes (of any multiple of three) stand in front of.

    Characters that also depend on what stands before it, or behind it, are no part of it, unless
    nothing stands behind it.
    """
    whole = base64.b64encode(bytes(before) + data).decode()
    begin = (0, 2, 3)[before]
    yield whole[begin:]
    yield whole[begin:].rstrip("=")
    yield whole[begin : (before + len(data)) * 8 // 6]
