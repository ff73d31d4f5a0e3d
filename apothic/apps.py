"""App: the functions of one program under one name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload

from apothic._code import check_function
from apothic._twins import stream, twin
from apothic._values import is_string
from apothic.functions import Declared
from apothic.kinds import (
    AsyncFunction,
    AsyncGeneratorFunction,
    Decorator,
    Function,
    GeneratorFunction,
    declare,
)
from apothic.options import FunctionOptions
from apothic.watches import Watch, check_watch
from apothic_backends.model.errors import InvalidOption, UsageError
from apothic_backends.model.events import Cursor

if TYPE_CHECKING:  # an app that only has functions loads none of it
    from apothic.classes import ClassDecorator, ClassOptions, Cls
    from apothic.sandbox_options import SandboxOptions
    from apothic.sandboxes import Workspace
    from apothic.service_options import EndpointOptions, FastapiOptions, ServiceOptions
    from apothic.services import ServiceDecorator
    from apothic_backends.model.costs import CostReport

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

NAME_LENGTH = 64
NAME_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


class App:
    """A named collection of functions.

    Raises:
        InvalidOption: the name is empty, longer than 64, or not made of `A-Z a-z 0-9 - _ .`.
    """

    name: str
    functions: dict[str, Declared[..., Any]]
    """The declared functions by name; declaring a name again replaces it."""
    entrypoints: dict[str, Callable[..., Any]]
    """What `@app.local_entrypoint()` marked, by name."""

    def __init__(self, name: str) -> None:
        is_name = is_string(name) and not set(name) - NAME_CHARACTERS
        if not is_name or not 0 < len(name) <= NAME_LENGTH:
            raise InvalidOption(
                f"{name!r} is no name for an App: it takes 1 to {NAME_LENGTH} of A-Z a-z 0-9 - _ .",
                option="name",
                value=name,
            )
        self.name = name
        self.functions = {}
        self.waiting: dict[str, Any] = {}
        """Services in classes that are not declared yet."""
        self.entrypoints = {}

    @overload
    def function(  # type: ignore[overload-overlap]
        self, function: Callable[P, AsyncIterator[T]], /
    ) -> AsyncGeneratorFunction[P, T]: ...
    @overload
    def function(self, function: Callable[P, Iterator[T]], /) -> GeneratorFunction[P, T]: ...
    @overload
    def function(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncFunction[P, R]: ...
    @overload
    def function(self, function: Callable[P, R], /) -> Function[P, R]: ...
    @overload
    def function(self, /, **options: Unpack[FunctionOptions]) -> Decorator: ...
    def function(self, function: Any = None, /, **options: Unpack[FunctionOptions]) -> Any:
        """Make a function callable from afar: `fn.remote()`, `fn.spawn()`, `fn.map()`.

        One that yields is called by `fn.remote_gen()`. `fn()` still runs it in place. With or
        without parentheses.

        Raises:
            UsageError: it is no function, or is declared already.
            InvalidOption: an option is unknown or cannot be meant.
        """
        if function is not None:
            return self._declare(function, options)

        def decorate(function: Callable[..., Any]) -> Any:
            return self._declare(function, options)

        return decorate

    def _declare(self, function: Callable[..., Any], options: FunctionOptions) -> Any:
        handle = declare(function, self.name, options)
        self.functions[handle.name] = handle
        return handle

    @overload
    def local_entrypoint(self, function: F, /) -> F: ...
    @overload
    def local_entrypoint(self, /) -> Callable[[F], F]: ...
    def local_entrypoint(self, function: Any = None, /) -> Any:
        """Mark a function that `apothic run` starts in this process, as a program's `main`.

        Raises:
            UsageError: it is no function, or one that `@app.function` made callable from afar.
        """
        return self._enter if function is None else self._enter(function)

    def _enter(self, function: F) -> F:
        if isinstance(function, Declared):
            raise UsageError("a local entrypoint is a plain function; leave @app.function off it")
        check_function(function, "@app.local_entrypoint")
        self.entrypoints[function.__name__] = function
        return function

    @stream
    def watch(self, *, snapshot: bool = False, after: Cursor | None = None) -> Watch:
        """Follow what happens to the app from now on: `app.changed`, `app.deleted`.

        `snapshot` begins with what is now, as `app.snapshot`; `after` begins after an event of
        another watch. It never ends by itself.

        Raises:
            UsageError: `after` is no position, or both are given.
        """
        from apothic._connect import connect  # most programs watch nothing  # noqa: PLC0415
        from apothic._watches import Reading  # noqa: PLC0415

        check_watch(after, snapshot=snapshot)
        return Watch(Reading(connect().watch(f"apps:{self.name}", after, snapshot=snapshot)))

    @twin
    async def durability(self) -> str:
        """What the jobs, queues and dicts of this program outlive.

        "process": nothing, they end with it. "disk": a crash and a loss of power. "server": what
        the database server promises. `APOTHIC_STATE` chooses it: `sqlite`, say.
        """
        from apothic._connect import connect  # most programs never ask  # noqa: PLC0415
        from apothic._drive import step  # noqa: PLC0415
        from apothic_backends.commands import GetDurability  # noqa: PLC0415

        return await step(connect().start(GetDurability()))

    @twin
    async def cost(self, *, since: float | None = None) -> CostReport:
        """What the calls of this app have taken, and what that costs: `apothic.cost(app.name)`."""
        from apothic.costs import cost_of  # most programs never ask  # noqa: PLC0415

        return await cost_of(self.name, None, since)

    def endpoint(self, /, **options: Unpack[EndpointOptions]) -> ServiceDecorator:
        """Have a function answer requests: its parameters are taken from the query or a JSON body.

        It is told what is wrong with a request by its type hints (422). What it returns is sent as
        JSON, or as it is if it is a response; what it yields is streamed.
        """
        return self._service("endpoint", options)

    def asgi(self, /, **options: Unpack[ServiceOptions]) -> ServiceDecorator:
        """Serve the ASGI application that a function gives: Starlette, FastAPI, Litestar, ..."""
        return self._service("asgi", options)

    def fastapi_endpoint(self, /, **options: Unpack[FastapiOptions]) -> ServiceDecorator:
        """Have a function answer requests as a route of FastAPI, which has to be installed."""
        return self._service("fastapi", options)

    def wsgi_app(self, /, **options: Unpack[ServiceOptions]) -> ServiceDecorator:
        """Serve the WSGI application that a function gives: Flask, Django, ..."""
        return self._service("wsgi", options)

    def web_server(
        self, port: int, /, *, startup_timeout: float = 5.0, **options: Unpack[ServiceOptions]
    ) -> ServiceDecorator:
        """Serve whatever a function starts that listens at `port` of its own machine.

        It has `startup_timeout` seconds to accept connections there. If what the function returns
        has a `close()`, that is called at the end.
        """
        own: Any = {"port": port, "startup_timeout": startup_timeout}
        return self._service("web_server", options | own)

    def _service(self, shape: str, options: Any) -> ServiceDecorator:
        from apothic.services import ServiceDecorator  # few apps have some  # noqa: PLC0415

        return ServiceDecorator(shape, self, options)

    @overload
    def cls(self, kind: Callable[[], T], /) -> Cls[..., T]: ...
    @overload
    def cls(self, kind: Callable[P, T], /) -> Cls[P, T]: ...
    @overload
    def cls(self, /, **options: Unpack[ClassOptions]) -> ClassDecorator: ...
    def cls(self, kind: Any = None, /, **options: Unpack[ClassOptions]) -> Any:
        """Have the objects of a class live elsewhere: `Counter.named("visits").add.remote(1)`.

        What `@method()` marks can be called from afar, as functions are; `@enter()` and `@exit()`
        mark what runs before the first call and after the last. `Counter(3)` is shared by all who
        give the same arguments, and may be several processes, which come and go with the calls.
        `Counter.named("visits", 3)` is one object in one process, which takes its calls in order
        and keeps its state between them until it is stopped. With or without parentheses.

        Raises:
            UsageError: it is no class, has no methods, or a constructor with `*args`.
            InvalidOption: an option is unknown or cannot be meant.
        """
        from apothic.classes import ClassDecorator  # as above  # noqa: PLC0415

        decorator = ClassDecorator(self, options)
        return decorator if kind is None else decorator(kind)

    def sandbox(self, name: str = "sandbox", /, **options: Unpack[SandboxOptions]) -> Workspace:
        """A kind of sandboxes: workspaces elsewhere, for files and commands of whoever.

        `app.sandbox("coder", memory_mb=512, untrusted=True).create()` makes one.

        Raises:
            InvalidOption: an option is unknown or cannot be meant.
            NotBuiltYet: this version cannot carry one out.
        """
        from apothic.sandboxes import Workspace  # as above  # noqa: PLC0415

        return Workspace(self.name, name, options)

    @twin
    async def deploy(self) -> str:
        """Make the functions that it has now live, and their schedules run; the deployment's id.

        The files of the project are shipped (`apothic package --list`), and the functions run in
        those. If nothing has changed since, it is the id of the live deployment; else this is the
        next version, which takes all calls at once, while older jobs go on in their own. From here
        on its handles call what is deployed.

        Raises:
            PackageRefused: the project cannot be shipped as it is.
            NotGenerated, GenerationFailed: a function is to be generated, and cannot be.
            UsageError: it has no functions, or a worker imports a module that deploys.
        """
        from apothic._deploying import deploy  # brings much  # noqa: PLC0415
        from apothic.serving import check_all_declared  # noqa: PLC0415

        check_all_declared(self.waiting)
        return (await deploy(self.name, self.functions)).deployment.deployment_id

    @property
    def aio(self) -> AppAio:
        """The same methods, to be awaited."""
        return AppAio(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel with the functions; an entrypoint belongs to the program that has it."""
        return (App, (self.name,), {"functions": self.functions})

    def __repr__(self) -> str:
        """Its name and what it has."""
        return f"<App {self.name}: {', '.join(self.functions) or 'no functions'}>"


class AppAio:
    """The methods of an app, to be awaited on asyncio or trio."""

    def __init__(self, app: App) -> None:
        self.deploy = app.deploy.aio
        self.watch = app.watch.aio
        self.durability = app.durability.aio
        self.cost = app.cost.aio
