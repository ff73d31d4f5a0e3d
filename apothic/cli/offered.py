"""Commands that other packages bring, found by name: the entry point group `apothic.commands`.

They are looked for when a line names no command of ours, or asks for help.
"""

from __future__ import annotations

from typing import Any

import click

from apothic.cli.command import told
from apothic_backends.model.errors import ApothicError

GROUP = "apothic.commands"
"""The entry point group in which packages offer commands: a name for a click command."""


class Program(click.Group):
    """The commands of ours, and those that others offer."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name: ours, if there is one."""
        return super().get_command(ctx, cmd_name) or offered().get(cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return sorted({*super().list_commands(ctx), *offered()})

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what goes wrong in one that others offer is told as everywhere."""
        try:
            return super().invoke(ctx)
        except ApothicError as error:
            raised = error

        def raise_again() -> None:
            raise raised

        return told(ctx.obj, raise_again)


_offered: dict[str, click.Command] | None = None


def offered() -> dict[str, click.Command]:
    """What installed packages offer, by name."""
    global _offered  # noqa: PLW0603 - looking costs 40 ms
    if _offered is None:
        from importlib.metadata import entry_points  # noqa: PLC0415 - as above

        _offered = {entry.name: entry.load() for entry in entry_points(group=GROUP)}
    return _offered
