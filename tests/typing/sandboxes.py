"""What type checkers see of sandboxes: read by pyright and mypy, never run."""

from __future__ import annotations

from typing import Any, assert_type

from apothic import App, FileChange, FileInfo, Isolation, RunResult, Sandbox, SandboxProcess

workspace = App("types").sandbox("coder", memory_mb=512, untrusted=True, timeout_s=None)


def blocking() -> None:
    box = workspace.create(name="a", tags={"run": "1"})
    assert_type(box, Sandbox)
    assert_type(workspace.attach("a"), Sandbox)
    assert_type(workspace.list(tags={}), list[Sandbox])
    assert_type(box.isolation(), Isolation)
    process = box.exec("true", pty=(24, 80), timeout_s=1)
    assert_type(process, SandboxProcess[Any])  # str, or bytes if it was asked for
    assert_type(process.wait(), int)
    assert_type(box.session().run("true"), RunResult)
    assert_type(box.files.read_bytes("a"), bytes)
    assert_type(box.files.list(), list[FileInfo])
    for change in box.files.watch():
        assert_type(change, FileChange)


async def awaited() -> None:
    box = await workspace.aio.create()
    assert_type(box, Sandbox)
    process = await box.exec.aio("true", text=False)
    found: SandboxProcess[Any] = process
    async for _ in found.stdout:
        break
    assert_type(await box.session("py", kind="python").run.aio("1"), RunResult)
    assert_type(await box.files.aio.read_text("a"), str)
    await box.aio.terminate()
