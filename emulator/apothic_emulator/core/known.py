"""All instances that there are: by number, by what tells them apart, and as they are looked at."""

from __future__ import annotations

from apothic_backends.commands.instances import ListInstances
from apothic_backends.model.events import Cursor, Event
from apothic_backends.model.ids import number_of
from apothic_backends.model.instances import InstanceGone, InstanceSnapshot
from apothic_emulator.core.facts import Asked
from apothic_emulator.core.feeds import Wants
from apothic_emulator.core.instance import Instance, LastNumber
from apothic_emulator.core.shared import Shared

TABLE = "instances"


class Known:
    """The instances that there are."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.instances: dict[int, Instance] = {}
        self._known: dict[tuple[str, str, str], Instance] = {}
        self._last = LastNumber()

    def find(self, name: str) -> Instance:
        """The instance of that id, or the one named as `app/class/name`; else `InstanceGone`."""
        if name.startswith(f"{TABLE}:"):
            found = self.instances.get(number_of(name, TABLE))
        else:
            app, _, rest = name.partition("/")
            kind, _, own = rest.partition("/")
            found = self._known.get((app, kind, own))
        if found is None:
            raise InstanceGone(
                f"there is no instance {name!r} (any more): it was stopped, or never made; calling "
                "its class makes another one",
                instance_id=name,
            )
        return found

    def _list(
        self, command: ListInstances, asked: Asked, now: float
    ) -> tuple[InstanceSnapshot, ...]:
        return tuple(
            it.snapshot()
            for it in self.instances.values()
            if command.app_name in (None, it.app) and command.class_name in (None, it.kind)
        )

    def _keep(self, it: Instance) -> None:
        if self.shared.journal is not None:
            self.shared.journal.keep(f"{TABLE}/{it.number}", it)

    def number_after(self, number: int) -> None:
        """Give higher numbers than that."""
        self._last.number = max(self._last.number, number)

    # --- looking --------------------------------------------------------------------------------

    def state(self, name: str, wants: Wants | None, here: Cursor) -> list[Event]:
        """The snapshot that a watch begins with.

        Raises:
            InstanceGone: there is no such instance.
        """
        seen = self.find(f"{TABLE}:{name}").snapshot()
        told = {field: getattr(seen, field) for field in seen.fields}
        return [Event("instance.snapshot", told, here)]

    def look_for(self, name: str) -> None:
        """See to it that there is one.

        Raises:
            InstanceGone: there is none.
        """
        self.find(f"{TABLE}:{name}")
