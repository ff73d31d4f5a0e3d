"""What `apothic liv` does."""

from __future__ import annotations

from difflib import unified_diff
from typing import NamedTuple

from apothic.cli import output
from apothic.cli.command import say
from apothic.cli.found import functions_of
from apothic.cli.wishes import Wishes
from apothic.generation.artifacts import Artifact, frozen_at, rendered
from apothic.generation.cache import kept
from apothic.generation.freezing import Wanted, artifact_for
from apothic_backends.model.errors import NotFound, UsageError

PREVIEWED = "apothic.liv.v1"

_DIGITS = 12
"""How much of an identity is shown."""


class Asked(NamedTuple):
    """A function that is to be generated, by `app/name`."""

    name: str
    wanted: Wanted


def asked_for(target: str) -> list[Asked]:
    """What a target names and is to be generated.

    Raises:
        UsageError: nothing of it is.
    """
    handles = {name: handle for name, handle in functions_of(target).items() if handle.liv}
    if not handles:
        raise UsageError(f"nothing of {target} is to be generated: put @apothic.liv(...) above it")
    return [Asked(name, Wanted.of(handle)) for name, handle in handles.items()]


def preview(asked: Wishes, *, target: str) -> None:
    """Print what would be frozen."""
    for name, wanted in asked_for(target):
        artifact = artifact_for(wanted)
        _put(asked, name, wanted, artifact, rendered(artifact, wanted.stub))


def show(asked: Wishes, *, target: str) -> None:
    """Print what is frozen.

    Raises:
        NotFound: nothing is.
    """
    found = [(one, frozen_at(one.wanted.path)) for one in asked_for(target)]
    for (name, wanted), artifact in found:
        if artifact is None:
            say(asked, f"{name} is not frozen: apothic liv preview {target} generates it")
            continue
        _put(asked, name, wanted, artifact, wanted.path.read_text("utf-8"))
        if not wanted.is_met_by(artifact):
            say(asked, f"{name} has changed since: it will be generated anew")
    if all(artifact is None for _, artifact in found):
        raise NotFound(f"nothing of {target} is frozen yet", name=target)


def diff(asked: Wishes, *, target: str) -> None:
    """Print what would change."""
    for name, wanted in asked_for(target):
        there = frozen_at(wanted.path)
        if there is not None and wanted.is_met_by(there):
            say(asked, f"{name} is frozen as it is wanted")
            continue
        old = "" if there is None else wanted.path.read_text("utf-8")
        new = rendered(artifact_for(wanted), wanted.stub)
        file = wanted.path.relative_to(wanted.stub.root).as_posix()
        lines = unified_diff(old.splitlines(), new.splitlines(), file, file, lineterm="")
        for line in lines:
            output.put(_escaped(line))


def list_(asked: Wishes) -> None:
    """Print what the caches have."""
    for namespace, _, artifact in kept():
        told = artifact.to_json()
        if asked.is_json():
            del told["code"]
            output.put(output.line_of({"schema": PREVIEWED, "namespace": namespace, **told}))
        else:
            output.put(
                f"{artifact.app_name}/{artifact.name}  {artifact.model}  {artifact.generated_at}  "
                f"{namespace}  {artifact.identity[:_DIGITS]}"
            )


def clear(asked: Wishes, *, names: tuple[str, ...], all_: bool) -> None:
    """Forget what the caches have of some functions, or all.

    Raises:
        UsageError: it is not said what.
        NotFound: there is nothing of one.
    """
    if bool(names) == all_:
        raise UsageError("say which: APP/FUNCTION as `apothic liv list` shows them, or --all")
    found = [(f"{artifact.app_name}/{artifact.name}", path) for _, path, artifact in kept()]
    missing = sorted({*names} - {name for name, _ in found})
    if missing:
        raise NotFound(f"nothing was generated of {', '.join(missing)}", name=missing[0])
    for name, path in found:
        if all_ or name in names:
            path.unlink(missing_ok=True)
            say(asked, f"forgotten: {name} {path.stem[:_DIGITS]}")


def _put(asked: Wishes, name: str, wanted: Wanted, artifact: Artifact, text: str) -> None:
    if asked.is_json():
        told = {"schema": PREVIEWED, "function": name, "path": str(wanted.path), "module": text}
        output.put(output.line_of({**told, **artifact.to_json()}))
        return
    for line in text.splitlines():
        output.put(_escaped(line))


def _escaped(line: str) -> str:
    """A line in which nothing can deceive who reads it, nor act on a terminal."""
    return "".join(it if it.isprintable() else ascii(it)[1:-1] for it in line)
