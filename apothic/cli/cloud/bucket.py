"""The bucket in which a control plane in the cloud keeps what volumes hold."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, Final

from apothic.cli.command import say
from apothic.cli.wishes import Wishes
from apothic_backends.buckets.told import VARIABLES, bucket_of, check_told, try_out
from apothic_backends.commands.volumes import ListVolumes
from apothic_backends.model.errors import BackendError, UsageError
from apothic_backends.remote.backend import open_remote
from apothic_backends.remote.profiles import Profile
from apothic_backends.volumes.local import EPHEMERAL

_OPTION: Final = "--volume-bucket"


def check_bucket(asked: Wishes, told: str, more: Sequence[str]) -> None:
    """See to it that it can be used, with the keys of the environment.

    Raises:
        UsageError: it is named among the options of the server, without its keys.
        InvalidOption: it has no name, or the environment no keys.
        BucketFailed: it cannot be reached, or they may not do there what has to be done.
    """
    if bucket_in(more):
        raise UsageError(f"say {_OPTION} before the --, so that its keys go with it")
    if not told:
        return
    check_told(told, os.environ)
    bucket = bucket_of(told, os.environ)
    say(asked, f"bucket {bucket.place.shown} is written to and read from, to see whether it can be")
    try_out(bucket)


def secrets_of(told: str) -> dict[str, str]:
    """What opens it."""
    return {name: os.environ[name] for name in VARIABLES if told and os.environ.get(name)}


def bucket_in(argv: Sequence[str]) -> str:
    """Which one a server is told of; empty for none."""
    told = ""
    for at, word in enumerate(argv, 1):
        name, _, value = word.partition("=")
        if name == _OPTION:
            told = value or "".join(argv[at : at + 1])
    return told


def bucket_of_machine(config: Mapping[str, Any]) -> str:
    """The same, of a machine as Fly has it."""
    init: dict[str, list[str] | None] = config.get("init") or {}
    return bucket_in(init.get("exec") or [])


def check_move(asked: Wishes, profile: Profile, config: Mapping[str, Any], told: str) -> None:
    """See to it that volumes are found where a control plane will look for them.

    Raises:
        UsageError: it has some, and keeps them elsewhere.
    """
    kept = bucket_of_machine(config)
    if not config or kept == told:
        return
    names = _volumes(asked, profile)
    if names:
        before, after = _place(kept), _place(told)
        again = f"say {_OPTION} {kept}" if kept else f"leave out {_OPTION}"
        raise UsageError(
            f"{profile.url} keeps what volumes hold {before}, and would look for them {after}: "
            f"{', '.join(names)}. To have it stay as it is, {again}; to change it, "
            "`apothic volume export` them, `apothic volume rm` them, and import them afterwards"
        )


def _place(told: str) -> str:
    return f"in the bucket {told}" if told else "on its disk"


def _volumes(asked: Wishes, profile: Profile) -> list[str]:
    """The volumes that it has."""
    try:
        with closing(open_remote(profile.url, profile.api_key)) as backend:
            found = backend.start(ListVolumes()).wait()
    except BackendError as error:
        say(asked, f"which volumes it has cannot be asked, and none is moved: {error.message}")
        return []
    return [name for name in found if not name.startswith(EPHEMERAL)]
