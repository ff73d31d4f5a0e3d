"""Services: functions that answer requests at a URL, in five shapes.

The decorators are methods of an `App`; what they give is a handle that knows the URL.
"""

from __future__ import annotations

import copyreg
import sys
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, get_type_hints, overload

from apothic._code import check_function
from apothic._shapes import NEEDED, NEEDS, TAKES_ANY, in_class, innermost, needed, remade
from apothic._twins import twin
from apothic.functions import (
    DECLARED,
    IS_ASYNC_GENERATOR,
    IS_GENERATOR,
    Declared,
    flags_of,
)
from apothic.instances import Reference
from apothic.options import DEFAULTS, RULES, FunctionOptions, checked
from apothic.service_options import RULES_OF, SERVICE_RULES
from apothic.serving import Serving
from apothic_backends.model.errors import InvalidOption, UsageError
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.instances import ClassSpec
from apothic_backends.model.payloads import Payload
from apothic_backends.model.services import ServiceSpec

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")

CONCURRENT = 1000
"""Requests that one process takes at once where nothing is said."""

START_S = 60.0
"""What a process of a service gets to be ready where nothing is said, in seconds."""

_IMPORTED = ("apothic.apps", "apothic.services")
"""What the module of a service imports of ours, which its next process should find imported."""

_REFUSED = ("schedule", "retries", "max_retries", "max_pending_tasks", "tasks_per_container")
"""Options of functions that say how calls are queued and repeated; requests are neither."""


class Service(Declared[P, R]):
    """A function that answers requests, once it is deployed.

    Called, or by `local()`, it runs in place: that gives whatever it makes, such as its
    application.
    """

    shape = "asgi"
    _object: Reference | None = None
    _owner: Any = None
    """The class that it is a method of."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.service_url: str | None = None
        """Where it answers; None until this program has deployed it, or has asked."""

    @property
    def stub_kind(self) -> str | None:
        """Nothing of the kind: what serves an application is written by people."""
        return None

    def become_method(self, owner: Any) -> None:
        """Answer on an object of a class, which each process makes without arguments."""
        self._owner = owner
        self.name = f"{owner.name}.{self.name}"

    @property
    def here(self) -> Callable[..., Any]:
        """What runs in place; a method does so on an object that this handle makes."""
        if self._owner is None:
            return self.body()
        if self._object is None:
            self._object = Reference(self._owner, ((), {}), None, must_exist=False)
        return self._object.local_method(self.raw().__name__)

    @overload
    def __get__(self, thing: None, kind: type) -> Self: ...
    @overload
    def __get__(
        self: Service[Concatenate[Any, Q], R], thing: object, kind: type | None = None
    ) -> Service[Q, R]: ...
    def __get__(self, thing: object, kind: type | None = None) -> Any:
        """Itself; to type checkers, the service that a method of a class is."""
        return self

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it in place."""
        return self.here(*args, **kwargs)

    def local(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it in place."""
        return self.here(*args, **kwargs)

    @twin
    async def get_web_url(self) -> str:
        """Where it answers: `http://127.0.0.1:…` on this machine.

        Raises:
            NotFound: it is not deployed.
            BackendError: it is, and listens nowhere; the message says why.
        """
        from apothic._services import url_of  # most programs have none  # noqa: PLC0415

        self.service_url = await url_of(f"{self.app_name}/{self.name}", self.name)
        return self.service_url

    def code(self) -> Payload:
        """What loads to the function elsewhere.

        Raises:
            ArgumentNotSerializable: it refers to something that cannot be pickled.
        """
        starlette = sys.modules.get("starlette.datastructures")
        if starlette is not None:
            copyreg.pickle(starlette.State, remade)
        return super().code() if self._owner is None else self._owner.code()

    @property
    def calls(self) -> Any:
        """None: it takes requests.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"{self.name}() is a service: after app.deploy() it answers requests at "
            f"{self.name}.get_web_url(); {self.name}.local() runs the function here"
        )

    @property
    def aio(self) -> ServiceAio:  # type: ignore[override]
        """The same methods, to be awaited."""
        return ServiceAio(self)

    @classmethod
    def check_signature(cls, function: Callable[..., Any]) -> None:
        """See to it that the function can give what it is to.

        Raises:
            UsageError: it takes something, or yields.
        """
        name, decorator = function.__name__, f"@app.{DECORATORS[cls.shape]}"
        lacks = needed(function)[in_class(function) :]
        if lacks:
            raise UsageError(
                f"{decorator}: {name}() is called without arguments, and takes "
                f"{', '.join(lacks)}. Have it return what serves, as in "
                f"`def {name}(): return application`"
            )
        if flags_of(function) & (IS_GENERATOR | IS_ASYNC_GENERATOR):
            raise UsageError(f"{decorator}: {name}() yields; have it return what serves")

    def check_installed(self) -> None:
        """See to it that what serves it is installed here.

        Raises:
            UsageError: something is not.
        """
        from importlib.util import find_spec  # at deployments only  # noqa: PLC0415

        missing = [name for name in NEEDS.get(self.shape, NEEDED) if find_spec(name) is None]
        if missing:
            extra = "fastapi" if missing == ["fastapi"] else "'apothic[web]'"
            raise UsageError(
                f"@app.{DECORATORS[self.shape]} of {self.name}() needs {', '.join(missing)}: "
                f"pip install {extra}",
                missing=missing,
            )

    def check_options(self, options: FunctionOptions) -> FunctionOptions:
        """The options of its shape, checked."""
        where = f"@app.{DECORATORS[self.shape]} of {self.name}()"
        for name in _REFUSED:
            if name in options:
                raise InvalidOption(
                    f"{where}: {name} is for calls, and a service takes requests; leave it out",
                    option=name,
                )
        defaults = {k: v for k, v in DEFAULTS.items() if k not in _REFUSED}
        defaults |= {"concurrent_requests": CONCURRENT, "keep_warm_s": 600, "public": False}
        given: Any = defaults | options
        return checked(given, where, RULES | SERVICE_RULES | RULES_OF[self.shape])

    def spec(self) -> FunctionSpec:
        """What a backend must know of it."""
        spec = super().spec()
        if spec.service is None:
            changed: dict[str, Any] = {"is_async": False, "is_generator": False, "batch": None}
            changed["preload"] = (*spec.preload, *_IMPORTED)
            self._spec = spec = spec.replace(service=self._service(), **changed)
        return spec

    def _service(self) -> ServiceSpec:
        options: Mapping[str, Any] = {**self.options}
        method = options.get("method")
        return ServiceSpec(
            shape=self.shape,
            keep_warm_s=float(options["keep_warm_s"]),
            start_timeout_s=float(options.get("service_startup_timeout_s") or START_S),
            public=options["public"],
            port=options.get("port", 0),
            startup_timeout_s=float(options.get("startup_timeout", 5.0)),
            methods=tuple(options.get("methods") or ([method] if method else ())),
            docs=options.get("docs", False),
            **self._of_class(),
        )

    def _of_class(self) -> Mapping[str, Any]:
        if self._owner is None:
            return {}
        has: ClassSpec = self._owner.description
        return {"method": self.raw().__name__, "enter": has.enter, "exit": has.exit}


class ServiceAio:
    """The methods of a service, to be awaited on asyncio or trio."""

    def __init__(self, service: Service[..., Any]) -> None:
        self.get_web_url = service.get_web_url.aio


class Answering(Service[P, R]):
    """A service whose function answers one request, by its type hints."""

    def code(self) -> Payload:
        """What loads to the function elsewhere, with the types that its hints name.

        Raises:
            UsageError: a hint names what is not known in its module.
            ArgumentNotSerializable: it refers to something that cannot be pickled.
        """
        function = innermost(self.raw())
        try:
            # A pickle takes along what code names, and not what is named in a string.
            function.__annotations__ = get_type_hints(function, include_extras=True)
        except NameError as error:
            raise UsageError(
                f"a type hint of {self.name}() cannot be resolved: {error}. Define or import that "
                "at the top of its module, and not below `if TYPE_CHECKING`"
            ) from error
        return super().code()


class Endpoint(Answering[P, R]):
    """A service whose function answers one request."""

    shape = "endpoint"

    @property
    def stub_kind(self) -> str | None:
        """An endpoint; one of a class belongs to what its object is."""
        return "endpoint" if self._owner is None else None

    @classmethod
    def check_signature(cls, function: Callable[..., Any]) -> None:
        """See to it that each parameter has a name, by which a request gives it.

        Raises:
            UsageError: one has none.
        """
        code = getattr(innermost(function), "__code__", None)
        if code is not None and (code.co_posonlyargcount or code.co_flags & TAKES_ANY):
            raise UsageError(
                f"@app.endpoint: {function.__name__}() takes parameters without a name, and a "
                "request gives them by name; leave out `/` and `*args`"
            )


class FastapiEndpoint(Answering[P, R]):
    """A service whose function answers one request, by FastAPI."""

    shape = "fastapi"

    @classmethod
    def check_signature(cls, function: Callable[..., Any]) -> None:
        """See to it that the function returns.

        Raises:
            UsageError: it yields.
        """
        if flags_of(innermost(function)) & (IS_GENERATOR | IS_ASYNC_GENERATOR):
            name = function.__name__
            raise UsageError(
                f"@app.fastapi_endpoint: {name}() yields. Return "
                "fastapi.responses.StreamingResponse(items()) instead, or use @app.endpoint, which "
                "streams what is yielded"
            )


class AsgiService(Service[P, R]):
    """A service whose function gives an ASGI application."""


class WsgiService(Service[P, R]):
    """A service whose function gives a WSGI application."""

    shape = "wsgi"


class WebServer(Service[P, R]):
    """A service whose function starts a server of its own."""

    shape = "web_server"


DECORATORS = {
    "endpoint": "endpoint",
    "asgi": "asgi",
    "fastapi": "fastapi_endpoint",
    "wsgi": "wsgi_app",
    "web_server": "web_server",
}
"""What the decorator of each shape is called."""
_KINDS: dict[str, type[Service[..., Any]]] = {
    kind.shape: kind for kind in (Endpoint, AsgiService, FastapiEndpoint, WsgiService, WebServer)
}


class ServiceDecorator:
    """`@app.asgi(...)`: what it wraps keeps its signature."""

    def __init__(self, shape: str, app: Any, options: Any) -> None:
        self._kind = _KINDS[shape]
        self._app = app
        self._options = options

    def __call__(self, function: Callable[P, R], /) -> Service[P, R]:
        """Declare a service.

        Raises:
            UsageError: it is no function, or is declared already.
            InvalidOption: an option cannot be meant.
        """
        decorator = f"@app.{DECORATORS[self._kind.shape]}"
        if isinstance(function, Declared):
            raise UsageError(f"{function.name}() is declared already; {decorator} needs a function")
        check_function(function, decorator)
        self._kind.check_signature(function)
        if in_class(function):
            found: Any = Serving(function, self._kind, self._options, self._app.waiting)
            return found
        handle = self._kind(function, self._app.name, self._options)
        DECLARED[self._app.name, handle.name] = handle
        self._app.functions[handle.name] = handle
        return handle
