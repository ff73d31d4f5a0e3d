"""Functions as they are declared, with their options, and by name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import update_wrapper
from typing import (
    Any,
    ParamSpec,
    Self,
    TypeVar,
    Unpack,
    cast,
)

from apothic._code import lookup, preload, reference
from apothic._declared import DECLARED
from apothic._generated import Generatable
from apothic._targets import WAIT_S, Calls, Target, not_declared
from apothic._values import seconds
from apothic.clients import ControlPlaneClient, chosen
from apothic.invocations import Invocable
from apothic.mounts import specs_of
from apothic.options import (
    DEFAULTS,
    FunctionOptions,
    checked,
    placed,
    retry_policy,
)
from apothic.policies import (
    MARKS,
    Markable,
    Marks,
    batch_policy,
    check_marks,
    concurrency,
)
from apothic.schedules import check_schedule
from apothic_backends.base import Backend
from apothic_backends.commands.base import Command
from apothic_backends.model.errors import NotFound, UsageError
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

IS_GENERATOR, IS_ASYNC, IS_ASYNC_GENERATOR = 0x20, 0x80, 0x200
"""Flags of code objects; `inspect` would cost more than the whole SDK."""

_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class Declared(Generatable, Invocable[P, R], Markable):
    """A function of this program, with its options.

    What it refers to by value (a script's own functions and constants) is taken along once, at the
    first call; declaring it again takes it along again.
    """

    is_generator = False
    """Whether a call gives items, by `remote_gen`, and no result."""
    options: FunctionOptions
    """Every option that was given or has a default."""
    _wait_s: float | None = WAIT_S

    def __init__(
        self,
        function: Callable[..., Any],
        app_name: str,
        options: FunctionOptions,
        wait_timeout_s: float | None = WAIT_S,
        marks: Marks | None = None,
    ) -> None:
        self.wrap(function)
        self.app_name = app_name
        self.name = function.__name__
        self.options = self.check_options(options)
        self._given = options
        vars(self)[MARKS] = dict(self._marks if marks is None else marks)
        self._wait_s = wait_timeout_s
        self._raw: Callable[..., Any] | None = function
        if self.options.get("schedule") is not None:
            check_schedule(function, self.name, is_generator=self.is_generator)
        self._where: str | None = None
        self._spec: FunctionSpec | None = None
        self._calls: Calls | None = None
        self.marked()

    def wrap(self, function: Callable[..., Any]) -> None:
        """Take over what a function is called, and what it says of itself."""
        update_wrapper(self, function)  # type: ignore[arg-type]

    def check_options(self, options: FunctionOptions) -> FunctionOptions:
        """The options, checked, with defaults."""
        return checked(DEFAULTS | options, f"@app.function of {self.name}()")

    @property
    def _marks(self) -> Marks:
        """What decorators say of it beside its options."""
        marks: Marks = self.__dict__.get(MARKS, {})
        return marks

    def marked(self) -> None:
        """Take what decorators say into account.

        Raises:
            InvalidOption: it contradicts an option.
        """
        check_marks(self.raw(), self._marks, self._given)
        if self.liv is not None:
            self.check_liv()
        self._spec = None

    @property
    def calls(self) -> Calls:
        """What carries out its calls; loaded at the first, since most programs only declare."""
        if self._calls is None:
            from apothic._calls import Calls as Caller  # noqa: PLC0415 - see above

            self._calls = Caller(self)
        return self._calls

    def target(self) -> Self:
        """Itself."""
        return self

    def deployed(self, backend: Backend, function_id: str) -> None:
        """Its calls go to what is deployed from now on."""
        self.calls.go_to(backend, function_id)

    def raw(self) -> Callable[..., Any]:
        """The function as it was written; imported now if only its address travelled here."""
        if self._raw is None:
            module, _, qualname = (self._where or "").partition(":")
            __import__(module)
            found = lookup(module, qualname)
            self._raw = found.raw() if isinstance(found, Declared) else found
        return self._raw or self._lost()

    def _lost(self) -> Callable[..., Any]:
        raise NotFound(f"{self._where} is not there any more", name=self._where)

    def with_options(
        self, *, wait_timeout_s: float | None = WAIT_S, **options: Unpack[FunctionOptions]
    ) -> Self:
        """The same function under changed options, as another handle with workers of its own.

        `wait_timeout_s` says how long calls of the new handle wait, so that `timeout_s` in a call
        goes to a function that has such a parameter.

        Raises:
            InvalidOption: as the decorator does.
        """
        kept, marks = self._given.copy(), self._marks.copy()
        if "retries" in options or "max_retries" in options:
            kept.pop("retries", None)
            kept.pop("max_retries", None)
        if "concurrent_requests" in options:
            marks.pop("concurrent", None)
        wait_s = self._wait_s
        if wait_timeout_s is not WAIT_S:
            wait_s = seconds("wait_timeout_s", wait_timeout_s)
        made = type(self)(self.raw(), self.app_name, kept | options, wait_s, marks)
        made.origin = self.written
        return made

    def wait_s(self, timeout_s: float | None) -> float | None:
        """How long to wait: what the call says, else what this handle says."""
        return self._wait_s if timeout_s is WAIT_S else seconds("timeout_s", timeout_s)

    def take_wait(self, kwargs: dict[str, Any]) -> float | None:
        """Take the caller's `timeout_s` out of a call's keywords.

        Raises:
            UsageError: the function has a parameter of that name, so it is not clear who is meant.
        """
        if "timeout_s" not in kwargs:
            return self._wait_s
        if "timeout_s" not in self._parameters():
            return self.wait_s(kwargs.pop("timeout_s"))
        if self._wait_s is WAIT_S:
            raise UsageError(
                f"{self.name}() has a parameter timeout_s of its own. Pass it by place, or say how "
                f"long to wait with {self.name}.with_options(wait_timeout_s=...).remote(...)"
            )
        return self._wait_s

    def _parameters(self) -> tuple[str, ...]:
        code = getattr(self.raw(), "__code__", None)
        return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code else ()

    def refuse_own(self, *names: str) -> None:
        """See to it that keywords of ours are none of the function's.

        Raises:
            UsageError: one is, so it is not clear who is meant.
        """
        for name in names:
            if name in self._parameters():
                raise UsageError(
                    f"{self.name}() has a parameter {name} of its own; follow it by "
                    f"{self.name}.spawn(...).watch(...)"
                )

    def code(self) -> Payload:
        """What loads to the function elsewhere.

        Raises:
            ArgumentNotSerializable: it refers to something that cannot be pickled.
            NotGenerated, GenerationFailed: it is to be generated, and cannot be.
        """
        if self.liv is not None:
            return self.frozen()
        if self._where is not None:
            return Payload(self._where.encode(), codec="ref")
        from apothic._serialize import encode_code  # brings pickle  # noqa: PLC0415

        return encode_code(self.raw())

    def spec(self) -> FunctionSpec:
        """What a backend must know of it."""
        if self._spec is None:
            options = self.options
            slots, target = concurrency(self._marks, options.get("concurrent_requests", 1))
            self._spec = FunctionSpec(
                app_name=self.app_name,
                name=self.name,
                timeout_s=float(options.get("timeout_s", 600)),
                retries=retry_policy(options),
                concurrent_requests=slots,
                max_pending_tasks=options.get("max_pending_tasks", 100),
                max_containers=options.get("max_containers", 1),
                tasks_per_container=options.get("tasks_per_container", 1),
                is_async=bool(flags_of(self.raw()) & (IS_ASYNC | IS_ASYNC_GENERATOR)),
                preload=preload(self.raw()),
                target_requests=target,
                is_generator=self.is_generator,
                batch=batch_policy(self._marks),
                memory_mb=options.get("memory_mb", 1024),
                secrets=tuple(secret.ref() for secret in options.get("secrets") or ()),
                mounts=specs_of(options.get("volumes")),
                cpu=self._given.get("cpu"),  # a default limit would keep libraries to one core
                gpu_share=options.get("gpu_share", False),
                **placed(options),
            )
        return self._spec

    def introduction(self) -> list[Command[Any]]:
        """What makes it known to a backend, in order; the last reply is its id.

        Raises:
            ArgumentNotSerializable: it refers to something that cannot be pickled.
            NotGenerated, GenerationFailed: it is to be generated, and cannot be.
        """
        from apothic_backends.commands import RegisterFunction  # at calls  # noqa: PLC0415
        from apothic_backends.registry import source  # noqa: PLC0415 - as above

        spec, shipped = self.spec(), source()
        if shipped is not None:
            spec = spec.replace(source=shipped[0], path=shipped[1])
        code = self.code()
        if code.codec != "ref":
            spec = spec.replace(python=_PYTHON)
        kept = [secret.keep() for secret in self.options.get("secrets") or ()]
        return [*filter(None, kept), RegisterFunction(spec, code)]

    def introduction_at(self, backend: Backend) -> list[Command[Any]]:
        """The same, once the files that its image brings are at that backend.

        Raises:
            NotFound, PackageRefused: they cannot be shipped as they are.
        """
        from apothic._placing import placed_now  # for tests  # noqa: PLC0415

        return placed_now(backend, self.introduction, self.options.get("image"))

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel with the function's address where it has one, else with the function."""
        where = self._where or reference(self.raw())
        state: dict[str, Any] = {
            "app_name": self.app_name,
            "name": self.name,
            "options": self.options,
            "_given": self._given,
            "_raw": None if where else self.raw(),
            "_where": where,
            "_spec": self._spec,
            "_calls": None,
            MARKS: self._marks,
        }
        if self._wait_s is not WAIT_S:  # told from what users say by its identity
            state["_wait_s"] = self._wait_s
        return (_blank, (type(self),), state)

    def __getattr__(self, name: str) -> Any:
        """What a wrapper has of what it wraps, for a handle that came without its function."""
        if name in ("__wrapped__", "__qualname__", "__name__", "__annotations__"):
            raw = self.raw()
            return raw if name == "__wrapped__" else getattr(raw, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name)

    def __repr__(self) -> str:
        """Its name and the options that differ from their defaults."""
        given = [f"{k}={v!r}" for k, v in self.options.items() if DEFAULTS.get(k) != v]
        return f"<{type(self).__name__} {' '.join([f'{self.app_name}/{self.name}', *given])}>"


def _blank(kind: type[Declared[..., Any]]) -> Any:
    """An empty handle, so that a function may refer to its own."""
    return kind.__new__(kind)


def flags_of(function: Callable[..., Any]) -> int:
    """How its code runs; of what is no plain function, nothing is known."""
    code = getattr(function, "__code__", None)
    return code.co_flags if code is not None else 0


def as_declared(thing: object) -> Declared[..., Any] | None:
    """The handle, if that is what it is."""
    is_handle = isinstance(thing, Declared)
    return cast("Declared[..., Any]", thing) if is_handle else None


def declared(app_name: str, name: str) -> Declared[..., Any]:
    """The function of these names in this program.

    Raises:
        NotFound: there is none; the message lists those there are.
    """
    found: Declared[..., Any] | None = DECLARED.get((app_name, name))
    if found is None:
        raise not_declared(app_name, name, DECLARED)
    return found


class RemoteFunction(Invocable[..., Any]):
    """A function by its names; it is looked up at the first use."""

    def __init__(
        self, app_name: str, function_name: str, client: ControlPlaneClient | None = None
    ) -> None:
        self.app_name = app_name
        self.name = function_name
        self._client = client
        self._target: Target | None = None

    @classmethod
    def from_name(
        cls,
        app_name: str,
        function_name: str,
        *,
        client: ControlPlaneClient | None = None,
        base_url: str | None = None,
    ) -> RemoteFunction:
        """The function of that app: the deployed one; while there is none, one of this program.

        Calls go to whichever version is live when they are made. With `client`, or `base_url` and
        the key that is kept for it, they go to that control plane, else to `APOTHIC_BACKEND`. Where
        that is not set, what this program does not declare is called on the control plane that
        `apothic auth use` has chosen, else on the `apothic serve` of this machine.

        Raises:
            UsageError: both `client` and `base_url` are given, or the address is none.
        """
        return cls(app_name, function_name, chosen(client, base_url))

    def target(self) -> Target:
        """The function of these names: the deployed one, else one that this program declares."""
        if self._target is None:
            from apothic._named import Named  # most programs call their own  # noqa: PLC0415

            known = DECLARED if self._client is None else {}
            self._target = named = Named(self.app_name, self.name, known)
            if self._client is not None:
                named.calls.connect = self._client.connect
        return self._target

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel by name, with the address of the control plane if there is one, but no key."""
        client = self._client and ControlPlaneClient(self._client.base_url)
        return (RemoteFunction, (self.app_name, self.name, client))

    def __repr__(self) -> str:
        """Its names."""
        return f"<RemoteFunction {self.app_name}/{self.name}>"
