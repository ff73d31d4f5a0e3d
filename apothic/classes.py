"""Classes whose objects live elsewhere, and the handles of those."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, Self, TypeVar, Unpack, overload

from apothic._code import preload
from apothic._members import describe
from apothic._targets import Calls
from apothic._twins import twin
from apothic._values import number, whole
from apothic.clients import ControlPlaneClient, chosen
from apothic.functions import DECLARED, IS_ASYNC, IS_ASYNC_GENERATOR, Declared, flags_of
from apothic.instances import Instance
from apothic.options import DEFAULTS, RULES, FunctionOptions, Rule, checked
from apothic.policies import MARKS, batch_policy
from apothic.serving import services_of
from apothic_backends.base import Backend
from apothic_backends.model.errors import InvalidOption, UsageError
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.instances import ClassSpec, InstanceSnapshot

P = ParamSpec("P")
T = TypeVar("T")

_REFUSED = ("schedule", "liv")
_OWN = frozenset(
    {"max_restarts", "retries", "max_retries", "max_pending_tasks", "tasks_per_container"}
)
"""Options of a class that its services do not take over."""


class ClassOptions(FunctionOptions, total=False):
    """What `@app.cls` takes, beside the options of a function."""

    keep_warm_s: float | None
    """How long a process without calls goes on. Where nothing is said one of an instance with a
    name goes on until it is stopped, and another one for 60 s."""
    max_restarts: int
    """How often an instance with a name is made again after its process was lost, without its
    state; -1 for always. Beyond that it is dead: its calls raise `InstanceDead`."""


class Instances(ABC, Generic[P, T]):
    """What can be done with a class, wherever it is declared.

    The handles that it gives have the methods of its objects; to type checkers they are objects.
    """

    app_name: str
    name: str
    link: Any
    """What makes the class known."""
    services: Mapping[str, Any] = {}
    """Those of its methods that are services, if they are known here."""

    @abstractmethod
    def spec(self) -> FunctionSpec:
        """What a backend must know of it."""

    @abstractmethod
    def raw_method(self, name: str) -> Callable[..., Any] | None:
        """A method as it was written, if that is here.

        Raises:
            AttributeError: the class has none of that name.
        """

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """The instance that all share who give these arguments; nothing is made before a call.

        Its processes come and go as calls do, up to `max_containers` at a time, and each has a
        state of its own.
        """
        return self._handle(Instance(self, args, kwargs))

    def named(self, name: str, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The one instance of that name: it is made with these arguments if there is none.

        It is one object in one process. It takes its calls in order, `concurrent_requests` at a
        time, and keeps its state until it is stopped. It keeps its code, too, until it is
        restarted, or its class is deployed anew.

        Raises, with its first call:
            InstanceConflict: there is one that was made with other arguments.
            InstanceDead: its process was lost more often than `max_restarts`.
        """
        return self._handle(Instance(self, args, kwargs, name))

    def get(self, name: str, /) -> T:
        """The instance of that name, whatever its arguments; with its first call there has to be.

        Raises, with its first call:
            InstanceGone: there is none.
        """
        return self._handle(Instance(self, (), {}, name, must_exist=True))

    def _handle(self, handle: Any) -> T:
        found: T = handle
        return found

    @twin
    async def instances(self) -> list[InstanceSnapshot]:
        """All instances of the class, with or without a name."""
        from apothic._classes import listed  # brings much  # noqa: PLC0415

        return await listed(self.link.connect(), self.app_name, self.name)

    @twin
    async def stop(self, name: str, *, wait: bool = True) -> None:
        """End the instance of that name, and its state with it; the name is free at once.

        The call that it works on is finished, then its `@exit` hooks run; calls that wait are
        cancelled. With `wait` that is awaited.

        Raises:
            InstanceGone: there is none.
        """
        from apothic._classes import stop  # brings much  # noqa: PLC0415

        await stop(self.link.connect(), f"{self.app_name}/{self.name}/{name}", wait=wait)

    @twin
    async def restart(self, name: str) -> None:
        """Have the instance of that name made again with its next call, out of its class as it is.

        The call that it works on is finished, then its `@exit` hooks run; calls that wait are
        cancelled. It is not dead any more.

        Raises:
            InstanceGone: there is none.
        """
        from apothic._classes import restart  # brings much  # noqa: PLC0415

        await restart(self.link.connect(), f"{self.app_name}/{self.name}/{name}")

    @property
    def aio(self) -> ClassAio[P, T]:
        """The same methods, to be awaited."""
        return ClassAio(self)


class ClassAio(Generic[P, T]):
    """The methods of a class, to be awaited on asyncio or trio."""

    def __init__(self, kind: Instances[P, T]) -> None:
        self.instances = kind.instances.aio
        self.stop = kind.stop.aio
        self.restart = kind.restart.aio


class Cls(Instances[P, T], Declared[P, T]):  # type: ignore[misc]  # both have an `aio`  # both have an `aio`
    """A class of this program, with its options."""

    _link: Any = None
    _description: ClassSpec | None = None

    @property
    def description(self) -> ClassSpec:
        """What it has; looked up now if only its address travelled here."""
        if self._description is None:
            self._description = describe(self.raw())
        return self._description

    def wrap(self, function: Callable[..., Any]) -> None:
        """Take over what the class is called, and what it says of itself."""
        update_wrapper(self, function, updated=())
        vars(self)[MARKS] = dict(vars(function).get(MARKS, {}))
        self._description = describe(function)

    @property
    def stub_kind(self) -> str | None:
        """Nothing of the kind: classes are written by people."""
        return None

    def marked(self) -> None:
        """Take what decorators say into account, for its services, too."""
        super().marked()
        for service in self.services.values():
            vars(service)[MARKS] = self._marks | vars(service)[MARKS]
            service.marked()

    @staticmethod
    def from_name(
        app_name: str,
        class_name: str,
        *,
        client: ControlPlaneClient | None = None,
        base_url: str | None = None,
    ) -> RemoteCls:
        """The class of that app: the deployed one; while there is none, one of this program.

        `client` and `base_url` are as in `RemoteFunction.from_name`.

        Raises:
            UsageError: both are given, or the address is none.
        """
        return RemoteCls(app_name, class_name, chosen(client, base_url))

    def with_options(  # type: ignore[override]  # those of a class are more
        self, **options: Unpack[ClassOptions]
    ) -> Self:
        """The same class under changed options, as another handle with instances of its own.

        An instance with a name keeps the options that it was made with.

        Raises:
            InvalidOption: as the decorator does.
        """
        given: Any = options
        return super().with_options(**given)

    def check_options(self, options: FunctionOptions) -> FunctionOptions:
        """The options of a class, checked."""
        where = f"@app.cls of {self.name}"
        for name in _REFUSED:
            if name in options:
                raise InvalidOption(f"{where}: {name} is for functions; leave it out", option=name)
        given: Any = {**DEFAULTS, "max_restarts": 0, **options}
        return checked(given, where, RULES | _RULES)

    @property
    def link(self) -> Any:
        """What makes it known; loaded at the first call, since most programs only declare."""
        if self._link is None:
            from apothic._calls import Calls as Caller  # noqa: PLC0415 - see above

            self._link = Caller(self)
        return self._link

    @property
    def calls(self) -> Calls:
        """None: its instances have methods.

        Raises:
            UsageError: always.
        """
        name = self.name
        raise UsageError(
            f"{name} is a class: call a method of an instance, as in {name}(...).method.remote() "
            f"or {name}.named('a name').method.remote()"
        )

    def deployed(self, backend: Backend, function_id: str) -> None:
        """Its instances are made of what is deployed from now on."""
        self.link.go_to(backend, function_id)

    def spec(self) -> FunctionSpec:
        """What a backend must know of it."""
        spec = super(Instances, self).spec()
        if spec.cls is None:
            methods = [self.raw_method(it.name) for it in self.description.methods]
            hooks = (*self.description.enter, *self.description.exit)
            functions = [*methods, *(getattr(self.raw(), name) for name in hooks)]
            options: Mapping[str, Any] = {**self.options}
            self._spec = spec = spec.replace(
                is_async=any(flags_of(it) & (IS_ASYNC | IS_ASYNC_GENERATOR) for it in functions),
                preload=preload(functions[0]),
                batch=batch_policy(getattr(functions[0], MARKS, {})),
                cls=self.description.replace(
                    keep_warm_s=options.get("keep_warm_s"), max_restarts=options["max_restarts"]
                ),
            )
        return spec

    def raw_method(self, name: str) -> Callable[..., Any]:
        """A method as it was written.

        Raises:
            AttributeError: the class has none of that name that can be called from afar.
        """
        known = [it.name for it in self.description.methods]
        if name not in known:
            raise AttributeError(
                f"{self.name} has no method {name!r} that can be called from afar; there are: "
                f"{', '.join(known)}. What else an object has lives where it does",
                name=name,
            )
        raw: Callable[..., Any] = getattr(self.raw(), name).__wrapped__
        return raw

    def check_arguments(self, given: Mapping[str, Any]) -> None:
        """See to it that arguments are of the types that a constructor says, if they are plain.

        Raises:
            UsageError: one is not.
        """
        hints = getattr(self.raw().__init__, "__annotations__", {})
        for parameter, value in given.items():
            hint = hints.get(parameter)
            wanted = _CHECKED.get(hint if isinstance(hint, str) else getattr(hint, "__name__", ""))
            if wanted is not None and type(value) not in wanted:
                raise UsageError(
                    f"{parameter} of {self.name}() must be {wanted[0].__name__}, not "
                    f"{value!r:.100} ({type(value).__name__})",
                    parameter=parameter,
                )


_CHECKED: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "bytes": (bytes,),
}


class RemoteCls(Instances[..., Any]):
    """A class by its names; it is looked up at the first use."""

    def __init__(
        self, app_name: str, class_name: str, client: ControlPlaneClient | None = None
    ) -> None:
        self.app_name = app_name
        self.name = class_name
        self._client = client
        self._named: Any = None

    @property
    def link(self) -> Any:
        """What finds it."""
        return self._found().calls

    def _found(self) -> Any:
        if self._named is None:
            from apothic._named import Named  # most programs call their own  # noqa: PLC0415

            known = DECLARED if self._client is None else {}
            self._named = Named(self.app_name, self.name, known)
            if self._client is not None:
                self._named.calls.connect = self._client.connect
        return self._named

    def spec(self) -> FunctionSpec:
        """What a backend must know of it, once it was asked."""
        spec: FunctionSpec = self._found().spec()
        return spec

    def raw_method(self, name: str) -> None:
        """Its code is not here."""

    def raw(self) -> Callable[..., Any]:
        """The class as it was written, where that is here; for messages."""
        raw: Callable[..., Any] = self._found().raw()
        return raw

    def check_arguments(self, given: Mapping[str, Any]) -> None:
        """Nothing is known of their types here."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel by name, with the address of the control plane if there is one, but no key."""
        client = self._client and ControlPlaneClient(self._client.base_url)
        return (RemoteCls, (self.app_name, self.name, client))

    def __repr__(self) -> str:
        """Its names."""
        return f"<RemoteCls {self.app_name}/{self.name}>"


class ClassDecorator:
    """`@app.cls(...)`: what it gives is called as the class is."""

    def __init__(self, app: Any, options: Any) -> None:
        self._app = app
        self._options = options

    @overload
    def __call__(self, kind: Callable[[], T], /) -> Cls[..., T]: ...  # also where pyright does not
    @overload  # see the constructor yet, which `@dataclass` or `@app.cls` makes
    def __call__(self, kind: Callable[P, T], /) -> Cls[P, T]: ...
    def __call__(self, kind: Any, /) -> Any:
        """Declare a class.

        Raises:
            UsageError: it is no class, has no methods, or a constructor with `*args`.
            InvalidOption: an option cannot be meant.
        """
        if isinstance(kind, Cls):
            raise UsageError(f"{kind.name} is declared already; with_options(...) gives it others")
        if not isinstance(kind, type):
            raise UsageError(f"@app.cls needs a class, not {kind!r}; functions take @app.function")
        handle: Cls[..., Any] = Cls(kind, self._app.name, self._options)
        handle.services = services_of(handle, self._options, _OWN)
        for it in (*([handle] if handle.description.methods else []), *handle.services.values()):
            DECLARED[self._app.name, it.name] = it
            self._app.functions[it.name] = it
        return handle


_RULES: dict[str, Rule] = {
    "keep_warm_s": lambda name, value: number(name, value, 0),
    "max_restarts": lambda name, value: whole(name, value, -1),
}
