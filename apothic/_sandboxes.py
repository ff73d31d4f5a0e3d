"""What carries out the wishes of whoever holds a sandbox: procedures, for `_drive`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from apothic._calls import Calls
from apothic._connect import connect
from apothic._drive import step
from apothic._serialize import encode_arguments
from apothic._targets import WAIT_S
from apothic.options import FunctionOptions
from apothic_backends.base import Backend
from apothic_backends.commands import RegisterFunction
from apothic_backends.commands.base import Command
from apothic_backends.commands.instances import (
    GetInstance,
    ListInstances,
    OpenInstance,
    StopInstance,
)
from apothic_backends.model.errors import ApothicError, JobCancelled, UsageError, WorkerLost
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.instances import (
    DEAD,
    ClassSpec,
    InstanceDead,
    InstanceGone,
    InstanceSnapshot,
    MethodSpec,
)
from apothic_backends.model.payloads import Payload
from apothic_backends.model.sandboxes import Isolation, SandboxExpired, SandboxGone

METHODS = (
    *("describe", "exec", "look", "read", "write", "close_stdin", "kill", "resize", "files"),
    *("run", "result", "close_session", "dial", "send", "receive", "hang_up", "close"),
)
"""Those of the object that holds a sandbox."""

HOST = "apothic_backends.sandboxes.host"
CODE = Payload(f"{HOST}:Host".encode(), codec="ref")

CALLS = 64
"""How many calls of one sandbox are carried out at once; whoever waits for output holds one."""

_ENDS = (InstanceGone, InstanceDead, WorkerLost, JobCancelled)
"""What a call says whose sandbox is no more."""


def class_of(options: Mapping[str, Any]) -> ClassSpec:
    """What the object that holds a sandbox has."""
    return ClassSpec(
        methods=tuple(map(MethodSpec, METHODS)),
        parameters=(("token", None), ("how", None)),
        exit=("close",),
        keep_warm_s=options["idle_timeout_s"],
        is_sandbox=True,
        lifetime_s=options["timeout_s"],
    )


class Link:
    """One sandbox, as it is known to the backend that was asked last."""

    def __init__(self, sandbox_id: str, backend: Backend | None = None) -> None:
        """`backend` has said that it is there."""
        self.sandbox_id = sandbox_id
        number, _, self._token = sandbox_id.removeprefix("sb-").partition("-")
        self._instance_id = f"instances:{number}"
        self._backend = backend
        self._calls: dict[str, _MethodCalls] = {}
        self.tunnels: dict[int, Any] = {}
        """What listens here for its ports."""

    async def ask(self, method: str, *args: Any) -> Any:
        """Have the object that holds the sandbox do something.

        Raises:
            SandboxExpired: its time is over.
            SandboxGone: it is no more, or was never of this account.
        """
        calls = self._calls.get(method)
        if calls is None:
            calls = self._calls[method] = _MethodCalls(self, method)
        try:
            return await calls.call((self._token, *args), {}, owned=False)
        except SandboxGone:
            raise self._gone() from None
        except _ENDS as end:
            raise await self._meant(end) from None
        except ApothicError as error:
            raise error from None  # where in the host it was raised helps nobody

    async def instance_on(self, backend: Backend) -> str:
        """The id of its instance there, once it is sure that it is the one."""
        if backend is not self._backend:
            await self.look(backend)
            self._backend = backend
        return self._instance_id

    async def look(self, backend: Backend) -> InstanceSnapshot:
        """What a backend says of it.

        Raises:
            SandboxGone: it has none of that id.
        """
        try:
            seen = await step(backend.start(GetInstance(self._instance_id)))
        except UsageError:  # it is gone, or was never an id
            raise self._gone() from None
        if not seen.is_sandbox or not secrets.compare_digest(seen.key, self._token):
            raise self._gone()
        return seen

    async def stop(self, *, wait: bool) -> None:
        """End it, and all that runs in it."""
        for tunnel in self.tunnels.values():
            tunnel.close()
        backend = connect()
        await self.look(backend)
        try:
            await self.ask("close")
        except (SandboxExpired, SandboxGone):
            pass  # nothing runs in it any more
        try:
            await step(backend.start(StopInstance(self._instance_id, wait=wait)))
        except InstanceGone:
            raise self._gone() from None

    async def _meant(self, error: ApothicError) -> ApothicError:
        """What to say where a call was told of an end."""
        seen = await self.look(connect())
        if seen.status != DEAD:
            return error
        if seen.reason in ("expired", "idle"):
            return SandboxExpired(
                f"{self.sandbox_id} has ended: {seen.error}", sandbox_id=self.sandbox_id
            )
        return self._gone(f": {seen.error}")

    def _gone(self, why: str = "") -> SandboxGone:
        return SandboxGone(
            f"there is no sandbox {self.sandbox_id!r} (any more){why}; make another one with "
            "app.sandbox(...).create()",
            sandbox_id=self.sandbox_id,
        )


class _Callee:
    """What calls of a method need of it."""

    is_generator = False
    freeze = None

    def __init__(self, name: str) -> None:
        self.name = name
        self.options: FunctionOptions = {}

    def raw(self) -> Any:
        """The method, for messages: it takes whatever it is given."""
        return self.take_wait

    def spec(self) -> FunctionSpec:
        """What a backend must know of it, once it was asked."""
        return FunctionSpec("", self.name)

    def introduction(self) -> list[Command[Any]]:
        """Nothing: a sandbox is made, and then called."""
        return []

    def take_wait(self, kwargs: dict[str, Any]) -> float | None:
        """How long a call waits."""
        del kwargs
        return WAIT_S


class _MethodCalls(Calls):
    """The calls of one method of the object that holds a sandbox."""

    def __init__(self, link: Link, method: str) -> None:
        super().__init__(_Callee(f"sandbox.{method}"))
        self._link = link
        self.method = method
        self.first = (method,)

    async def _register(self, backend: Backend, deadline: float | None) -> None:
        self._function_id = await self._link.instance_on(backend)
        self._backend = backend


async def create(
    spec: FunctionSpec,
    how: Mapping[str, Any],
    name: str | None,
    tags: Mapping[str, str],
    kept: Sequence[Command[Any] | None],
) -> tuple[Link, str, Isolation]:
    """Make a sandbox, with secrets that are `kept` first; it is gone again if it did not begin."""
    backend = connect()
    for keep in filter(None, kept):
        await step(backend.start(keep))
    class_id = await step(backend.start(RegisterFunction(spec, CODE)))
    token = secrets.token_hex(8)
    arguments = encode_arguments(lambda: create, (token, how), {})
    arguments.own()
    named = name or f"unnamed-{token}"
    opening = OpenInstance(class_id, arguments, token, named, tags=tuple(tags.items()))
    instance_id: str = await step(backend.start(opening))
    link = Link(f"sb-{instance_id.partition(':')[2]}-{token}", backend)
    try:
        return link, named, await isolation_of(link)
    except BaseException:
        backend.start(StopInstance(instance_id))
        raise


async def isolation_of(link: Link) -> Isolation:
    """How far it is isolated; it begins with that, if it has not."""
    level, missing = await link.ask("describe")
    return Isolation(level, missing)


async def attach(app_name: str, kind: str, wanted: str) -> tuple[Link, InstanceSnapshot]:
    """The sandbox of that id, or of that name.

    Raises:
        SandboxGone: there is none.
    """
    backend = connect()
    if not wanted.startswith("sb-"):
        return await _named(backend, app_name, kind, wanted)
    link = Link(wanted, backend)
    return link, await link.look(backend)


async def _named(
    backend: Backend, app_name: str, kind: str, name: str
) -> tuple[Link, InstanceSnapshot]:
    try:
        seen = await step(backend.start(GetInstance(f"{app_name}/{kind}/{name}")))
    except InstanceGone:
        raise SandboxGone(
            f"there is no sandbox {name!r} of {app_name}/{kind} (any more)", sandbox_id=name
        ) from None
    return Link(id_of(seen), backend), seen


def id_of(seen: InstanceSnapshot) -> str:
    """The id of a sandbox."""
    return f"sb-{seen.instance_id.partition(':')[2]}-{seen.key}"


async def listed(app_name: str | None, kind: str | None) -> list[InstanceSnapshot]:
    """The sandboxes that have not ended."""
    found = await step(connect().start(ListInstances(app_name, kind)))
    return [it for it in found if it.is_sandbox and it.status != DEAD]
