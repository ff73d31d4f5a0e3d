"""Sandboxes: workspaces of their own elsewhere, for files and commands that nobody has to trust."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from apothic._twins import twin
from apothic._values import flag, number, refuse, text, whole
from apothic.filesystem import SandboxFiles
from apothic.processes import Arguments, SandboxProcess, argv_of, how_of
from apothic.sandbox_options import DEFAULTS, SandboxOptions, checked, strings
from apothic.sessions import PYTHON, SHELL, Session
from apothic.snapshots import Snapshot, restore, taken
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.sandboxes import IMAGE, Isolation

_OVERHEAD_MB = 512
"""For the process of ours that holds a sandbox, and the output that it keeps."""


class Workspace:
    """Sandboxes of one kind: `app.sandbox("coder", memory_mb=512)`.

    Making one of these makes no sandbox; `create()` does.
    """

    def __init__(self, app_name: str, name: str, options: SandboxOptions) -> None:
        self.app_name = app_name
        self.name = text("name", name)
        self.options = checked(options, f"app.sandbox({name!r})")

    @twin
    async def create(
        self,
        *,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        snapshot: Snapshot | None = None,
    ) -> Sandbox:
        """A new sandbox, ready for commands; it lives until it is terminated, or ends by itself.

        With a `name`, unique while it lives, it can be found from anywhere. `tags` are for `list`.
        `env` adds to the variables of the workspace. It begins with the files of a `snapshot`.

        Raises:
            InstanceConflict: there is one of that name.
            IsolationMissing: it is for what is untrusted, and cannot be isolated well enough.
        """
        from apothic._sandboxes import create  # brings much  # noqa: PLC0415

        if name is not None and text("name", name).startswith("sb-"):
            refuse("name", name, "a name that does not begin with 'sb-', as ids do")
        wanted = strings("tags", tags)
        how = self._how(strings("env", env))
        kept = [secret.keep() for secret in self.options.get("secrets") or ()]
        link, named, isolation = await create(self._spec(), how, name, wanted, kept)
        await restore(snapshot, link)
        return Sandbox(link, named, wanted, isolation)

    @twin
    async def attach(self, sandbox: str) -> Sandbox:
        """The sandbox of that id or name, as it is.

        Raises:
            SandboxGone: there is none.
            SandboxExpired: it has ended by itself.
        """
        from apothic._sandboxes import attach, isolation_of  # brings much  # noqa: PLC0415

        link, seen = await attach(self.app_name, self.name, text("sandbox", sandbox))
        return Sandbox(link, seen.name or "", dict(seen.tags), await isolation_of(link))

    @twin
    async def list(self, *, tags: Mapping[str, str] | None = None) -> list[Sandbox]:
        """Those of this kind that live, and have all these tags."""
        from apothic._sandboxes import Link, id_of, listed  # brings much  # noqa: PLC0415

        wanted = strings("tags", tags).items()
        return [
            Sandbox(Link(id_of(it)), it.name or "", dict(it.tags))
            for it in await listed(self.app_name, self.name)
            if wanted <= dict(it.tags).items()
        ]

    @property
    def aio(self) -> WorkspaceAio:
        """The same methods, to be awaited."""
        return WorkspaceAio(self)

    def _spec(self) -> FunctionSpec:
        """What a backend must know of the object that holds a sandbox."""
        from apothic._sandboxes import CALLS, HOST, class_of  # brings much  # noqa: PLC0415

        options = self.options
        return FunctionSpec(
            self.app_name,
            self.name,
            concurrent_requests=CALLS,
            max_pending_tasks=CALLS * 16,
            memory_mb=options.get("memory_mb", 0) + _OVERHEAD_MB,
            cpu=options.get("cpu"),
            preload=(HOST,),  # it takes longer to import than to run
            secrets=tuple(secret.ref() for secret in options.get("secrets") or ()),
            cls=class_of(options),
        )

    def _how(self, env: Mapping[str, str]) -> dict[str, Any]:
        """What the guest of a sandbox needs."""
        options: Mapping[str, Any] = {**self.options}
        named = ("cpu", "memory_mb", "pids", "untrusted", "workdir")
        network = options["network"]
        return {name: options[name] for name in named} | {
            "network": not options["untrusted"] if network is None else network,
            "image": (options["image"] or IMAGE) if options["isolation"] == "docker" else None,
            "env": {**(options["env"] or {}), **env},
            "has_secrets": bool(options["secrets"]),
        }

    def __repr__(self) -> str:
        """Its names, and the options that differ from their defaults."""
        given = [f"{k}={v!r}" for k, v in self.options.items() if DEFAULTS.get(k) != v]
        return f"<Workspace {' '.join([f'{self.app_name}/{self.name}', *given])}>"


class WorkspaceAio:
    """The methods of a workspace, to be awaited on asyncio or trio."""

    def __init__(self, workspace: Workspace) -> None:
        self.create = workspace.create.aio
        self.attach = workspace.attach.aio
        self.list = workspace.list.aio


class Sandbox:
    """A workspace of its own, elsewhere: files, and commands that run beside them.

    A handle: it may travel, and means the same sandbox in any process with the same control plane.
    With `with` it is terminated at the end of the block.
    """

    def __init__(
        self,
        link: Any,
        name: str,
        tags: Mapping[str, str],
        isolation: Isolation | None = None,
    ) -> None:
        self._link = link
        self.sandbox_id: str = link.sandbox_id
        """What it is found by: `workspace.attach(sandbox_id)`."""
        self.name = name
        """The name that it was given, or one that nobody else has."""
        self.tags = dict(tags)
        self.files = SandboxFiles(link)
        """Its files."""
        self._isolation = isolation

    @twin
    async def isolation(self) -> Isolation:
        """How far it is isolated: `level`, and what is `missing` to more."""
        from apothic._sandboxes import isolation_of  # loaded already  # noqa: PLC0415

        if self._isolation is None:
            self._isolation = await isolation_of(self._link)
        return self._isolation

    @twin
    async def exec(
        self,
        *argv: str,
        timeout_s: float | None = None,
        workdir: str | None = None,
        env: Mapping[str, str] | None = None,
        pty: bool | tuple[int, int] = False,
        merge_stderr: bool = False,
        text: bool = True,
    ) -> SandboxProcess[Any]:
        """Start a program in it: `box.exec("pytest", "-q")`.

        After `timeout_s` it is killed with all that it has started; its return code is -1 then, and
        what it has written is kept. With `pty` it has a terminal, of 24 rows and 80 columns unless
        it says `(rows, columns)`. With `merge_stderr` its errors are part of `stdout`. Without
        `text` its output is bytes.

        Raises:
            UsageError: there is no such program, or its arguments are no strings, or too long.
        """
        is_text = flag("text", text)
        how = how_of(Arguments(timeout_s, workdir, strings("env", env), pty, merge_stderr))
        state = await self._link.ask("exec", argv_of(argv), how)
        return SandboxProcess(self._link, state, is_text=is_text)

    def process(self, exec_id: int, *, text: bool = True) -> SandboxProcess[Any]:
        """The process of that number, which was started earlier, maybe by another program."""
        number_ = whole("exec_id", exec_id, 1)
        return SandboxProcess(self._link, (number_, None, None, None), is_text=flag("text", text))

    def session(self, name: str = "main", *, kind: str = SHELL) -> Session:
        """The session of that name, begun with its first command: a "shell", or "python".

        Raises:
            InvalidOption: it is of another kind that there is.
        """
        if kind not in (SHELL, PYTHON):
            refuse("kind", kind, f"{SHELL!r} or {PYTHON!r}")
        return Session(self._link, text("name", name), kind)

    @twin
    async def url(self, port: int, *, timeout_s: float = 30.0) -> str:
        """What a port in it is reached by from here, once a program listens there.

        Such as "http://127.0.0.1:41234": whatever speaks TCP may connect there, from this machine
        only, for as long as this program runs and the sandbox lives. The same port has the same one
        each time. At most 32 connections are carried at once; others wait.

        Raises:
            WaitTimeout: nothing listens there within `timeout_s`.
        """
        from apothic._tunnels import url_of  # few sandboxes serve  # noqa: PLC0415

        wait_s = number("timeout_s", timeout_s, 0)
        return await url_of(self._link, whole("port", port, 1, 65_535), wait_s)

    @twin
    async def snapshot(self) -> Snapshot:
        """Its files as they are now; what programs write meanwhile may be in it, or not."""
        return await taken(self.files)

    @twin
    async def terminate(self, *, wait: bool = True) -> None:
        """End it, all that runs in it, and its files. With `wait` that is awaited.

        Raises:
            SandboxGone: there is none (any more).
        """
        await self._link.stop(wait=flag("wait", wait))

    @property
    def aio(self) -> SandboxAio:
        """The same methods, to be awaited."""
        return SandboxAio(self)

    def __enter__(self) -> Self:
        """Itself; it is terminated at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Terminate it, unless it has ended."""
        from apothic_backends.model.sandboxes import SandboxGone  # noqa: PLC0415 - with a sandbox

        try:
            self.terminate()
        except SandboxGone:
            pass

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel by its id."""
        return (_remade, (self.sandbox_id, self.name, self.tags, self._isolation))

    def __repr__(self) -> str:
        """Its id, and its name."""
        return f"<Sandbox {self.sandbox_id} {self.name!r}>"


class SandboxAio:
    """The methods of a sandbox, to be awaited on asyncio or trio."""

    def __init__(self, box: Sandbox) -> None:
        self.isolation = box.isolation.aio
        self.exec = box.exec.aio
        self.snapshot = box.snapshot.aio
        self.url = box.url.aio
        self.terminate = box.terminate.aio


def _remade(
    sandbox_id: str, name: str, tags: Mapping[str, str], isolation: Isolation | None
) -> Sandbox:
    from apothic._sandboxes import Link  # brings much  # noqa: PLC0415

    return Sandbox(Link(sandbox_id), name, tags, isolation)
