"""Secret: values that reach a function as environment variables and are never shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from apothic._values import Value, is_dict, is_list, is_string, is_tuple, refuse
from apothic_backends.model.errors import ApothicError, InvalidOption, NotFound
from apothic_backends.model.functions import SecretRef
from apothic_backends.model.secrets import HELD, check_key, check_name, check_values

_salt = b""


class Secret(Value):
    """A few environment variables that a function gets, by the name of the secret they are in.

    They come over the caller's own environment; where two secrets of a function have a key in
    common, the later one counts. Only names are ever shown, sent in handles, or kept in records.
    """

    name: str
    required_keys: tuple[str, ...]

    def __init__(self, name: str, required_keys: Iterable[str] = ()) -> None:
        super().__init__(name=check_name(name), required_keys=_keys("required_keys", required_keys))

    @classmethod
    def from_name(cls, name: str, required_keys: Iterable[str] = ()) -> Secret:
        """The secret that `apothic secret set NAME` keeps; it is looked up when a worker starts.

        A call of a function whose secret is not there, or lacks one of `required_keys`, raises
        `SecretNotFound`. After a change, calls get workers that have the new values.

        Raises:
            InvalidOption: no secret can have that name, or no environment variable such a key.
        """
        return cls(name, required_keys)

    @classmethod
    def from_dict(cls, values: Mapping[str, str | None]) -> Secret:
        """A secret of these variables, which the control plane holds in memory; None is left out.

        Raises:
            InvalidOption: a key is not the name of a variable, or a value is no string.
        """
        if not is_dict(values):
            raise InvalidOption(f"a secret is made from a dict, not a {type(values).__name__}")
        return _Held(check_values(values))

    @classmethod
    def from_dotenv(
        cls, path: str | os.PathLike[str] | None = None, filename: str = ".env"
    ) -> Secret:
        """A secret of the variables in the nearest file of that name, looked for upwards.

        `path` is a directory to begin at, or the file itself; else it is the directory of the code
        that calls this, and the current one where that is in no file. A worker that imports this
        code without the file finds out when it needs the secret for a call of its own.

        Raises:
            NotFound: there is no such file.
            InvalidOption: it sets what cannot be a variable.
        """
        here = sys._getframe(1).f_globals.get("__file__")  # noqa: SLF001 - whose file it is
        begin = os.fspath(path) if path is not None else os.path.dirname(here or "") or "."  # noqa: PTH120
        return _found(lambda: _dotenv(os.path.abspath(begin), filename))  # noqa: PTH100

    @classmethod
    def from_local_environ(cls, keys: Iterable[str]) -> Secret:
        """A secret of these variables of the environment, as they are now.

        Raises:
            NotFound: some are not there; the message names each.
        """
        names = _keys("keys", keys)

        def read() -> dict[str, str]:
            missing = [key for key in names if key not in os.environ]
            if missing:
                raise NotFound(f"not in the environment: {', '.join(missing)}", missing=missing)
            return {key: os.environ[key] for key in names}

        return _found(read)

    def ref(self) -> SecretRef:
        """What a backend is told of it."""
        return SecretRef(self.name, self.required_keys)

    def keep(self) -> Any:
        """The command that has a control plane hold its values; None if it need not."""
        return None

    def values(self) -> list[str]:
        """What is to be hidden in what people see.

        Raises:
            SecretStoreRefused: it cannot be known.
        """
        from apothic_backends.vault import Vault  # for the CLI  # noqa: PLC0415

        return [v for _, held in Vault().read([self.name]).values() for v in held.values()]

    def __repr__(self) -> str:
        """Its name, and the keys that it must have."""
        more = f", required_keys={self.required_keys!r}" if self.required_keys else ""
        return f"Secret({self.name!r}{more})"


class _Held(Secret):
    """One with values of this program, which are nowhere else but in a slot of this object."""

    __slots__ = ("_values", "_why")

    keys: tuple[str, ...]
    _values: dict[str, str] | None
    _why: ApothicError | None

    def __init__(self, values: dict[str, str] | None, why: ApothicError | None = None) -> None:
        name = HELD if values is None else f"{HELD}{_digest(values)}"
        Value.__init__(self, name=name, required_keys=(), keys=tuple(sorted(values or ())))
        object.__setattr__(self, "_values", values)
        object.__setattr__(self, "_why", why)

    def keep(self) -> Any:
        """The command that has a control plane hold its values; None if it does already.

        Raises:
            ApothicError: this is a worker, and they could not be found here.
        """
        if self._why is not None:
            raise self._why
        if self._values is None:
            return None
        import json  # for programs with such secrets  # noqa: PLC0415

        from apothic_backends.commands.secrets import KeepSecret  # noqa: PLC0415 - as above
        from apothic_backends.model.payloads import Payload  # noqa: PLC0415 - as above

        return KeepSecret(self.name, Payload(json.dumps(self._values).encode(), codec="json"))

    def values(self) -> list[str]:
        """What is to be hidden in what people see."""
        return [*(self._values or {}).values()]

    def __copy__(self) -> Self:
        """Itself."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """Itself."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as a name; the control plane that it travels through holds the values."""
        from apothic_backends.connection import connected  # noqa: PLC0415 - as above

        backend = connected()
        if backend is not None and self._values is not None:
            backend.start(self.keep())
        return (_travelled, (self.name, self.keys))

    def __repr__(self) -> str:
        """Its keys."""
        return f"Secret({', '.join(self.keys)})"


def _travelled(name: str, keys: tuple[str, ...]) -> Secret:
    """One whose values a control plane holds."""
    made = _Held(None)
    vars(made).update(name=name, keys=keys)
    return made


def _found(read: Callable[[], dict[str, str]]) -> Secret:
    """One with values that this machine has; in a worker they may be missing until needed."""
    from apothic_backends.registry import is_worker  # noqa: PLC0415 - few programs have such

    try:
        return _Held(check_values(read()))
    except NotFound as error:
        if not is_worker():
            raise
        return _Held(None, error)


def _digest(values: dict[str, str]) -> str:
    """A name for values that tells nothing of them: equal only for equal ones, in this program."""
    from hashlib import blake2b  # for programs with such secrets  # noqa: PLC0415

    global _salt  # noqa: PLW0603 - drawn once
    _salt = _salt or os.urandom(32)
    return blake2b(repr(sorted(values.items())).encode(), key=_salt, digest_size=16).hexdigest()


def _keys(what: str, keys: Any) -> tuple[str, ...]:
    if not (is_list(keys) or is_tuple(keys)) or not all(map(is_string, keys)):
        refuse(what, keys, "a list of names such as ['HF_TOKEN']")
    return tuple(map(check_key, keys))


def _dotenv(begin: str, filename: str) -> dict[str, str]:
    """The variables of a file, which is `begin` or above it."""
    from pathlib import Path  # noqa: PLC0415 - few programs have such files

    from dotenv import dotenv_values  # noqa: PLC0415 - as above

    start = Path(begin)
    places = [start] if start.is_file() else [d / filename for d in (start, *start.parents)]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise NotFound(f"there is no file {filename} in {start}, nor above it", path=str(start))
    return {key: value for key, value in dotenv_values(found).items() if value is not None}
