"""Images of which machines are made, for functions whose image needs more than Python.

No machine builds one: it is built where there is a Docker, put into a registry, and told of here,
by the digest of its recipe. A machine that was made of one is for functions of that one alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from apothic_backends.images.lanes import DOCKER, lane
from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.machines import PublishedImage
from apothic_emulator.core.journal import Journal, Kept
from apothic_emulator.core.records import pack, unpack

PATH: Final = "image"
"""What the keys of their records begin with, among those of machines."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_REFERENCE: Final = re.compile(r"[a-z0-9][\w.:/-]{0,300}@sha256:[0-9a-f]{64}", re.ASCII)
_WORD: Final = re.compile(r"[\w.+-]{0,64}", re.ASCII)


class KeptImage(Kept):
    """One of them as a record."""

    __slots__ = ("image",)

    def __init__(self, image: PublishedImage) -> None:
        self.image = image

    @property
    def key(self) -> str:
        """Where it is written down."""
        return f"machines/{PATH}/{self.image.digest}/{self.image.provider or '-'}"

    def pack(self) -> bytes:
        """All of it."""
        it = self.image
        return pack((it.digest, it.reference, it.provider, it.release))


class Published:
    """All of them."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self._known: dict[str, dict[str, PublishedImage]] = {}
        """By the digest of the recipe, and by who alone can load it."""

    def __iter__(self) -> Iterator[PublishedImage]:
        """By digest, then by who can load it."""
        for _, those in sorted(self._known.items()):
            yield from (those[name] for name in sorted(those))

    def add(self, image: PublishedImage) -> None:
        """There is another one.

        Raises:
            InvalidOption: it cannot be one.
        """
        _check(image)
        self._put(image)
        if self._journal is not None:
            kept = KeptImage(image)
            self._journal.keep(kept.key, kept)

    def load(self, record: bytes) -> None:
        """Take one back."""
        told, _ = unpack(record)
        self._put(PublishedImage(*told))

    def _put(self, image: PublishedImage) -> None:
        self._known.setdefault(image.digest, {})[image.provider] = image

    def of(self, spec: FunctionSpec, provider: str) -> PublishedImage | None:
        """Of what a machine there is made for a function that needs one."""
        assert spec.image is not None
        those = self._known.get(spec.image.digest, {})
        return those.get(provider) or those.get("")

    def why_not(self, spec: FunctionSpec) -> str:
        """Why no machine can be had for a function that needs one, and what would help."""
        assert spec.image is not None
        digest, reasons = spec.image.digest, "; ".join(lane(spec.image).reasons)
        here = f"path.py::{spec.name}"
        known = [it.provider for it in self._known.get(digest, {}).values()]
        if known:
            return (
                f"its image is where only machines of {', '.join(known)} can load it; put it into "
                f"a registry for all: `apothic image publish --registry HOST/NAME {here}`"
            )
        return (
            f"no machine can be made of the image {digest[:12]} of {spec.app_name}/{spec.name}, "
            f"which needs Docker ({reasons}): publish it, where there is a Docker, with "
            f"`apothic image publish {here}`"
        )


def _check(image: PublishedImage) -> None:
    if not _REFERENCE.fullmatch(image.reference):
        raise InvalidOption(
            f"{image.reference!r:.400} names no image by its content, as "
            "registry.example.com/name@sha256:... does",
            option="reference",
        )
    words = (_DIGEST, image.digest), (_WORD, image.provider), (_WORD, image.release)
    for shape, word in words:
        if not shape.fullmatch(word):
            raise InvalidOption(f"{word!r:.100} is told of no image", option="image")


def needs_one(spec: FunctionSpec) -> bool:
    """Whether a function runs only on machines that are made of its image."""
    return spec.image is not None and lane(spec.image).kind == DOCKER
