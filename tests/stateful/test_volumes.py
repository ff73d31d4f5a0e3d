"""A volume against a dictionary: several views, commits that meet, processes that are killed."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from apothic_backends.model.errors import VolumeConflict
from apothic_backends.volumes.local import PORTABLE, Volumes
from apothic_backends.volumes.store import FAIL, LAST_WRITE_WINS
from apothic_backends.volumes.views import View
from tests.unit.backends.volumes.support import Machine, contents, killed_at, write

NAMES = st.sampled_from(["a", "d/x", "d/y"])
TEXTS = st.sampled_from(["", "1", "2", "longer"])
WHO = st.integers(0, 1)

Files = dict[str, str]


class Seen:
    """A view, what it had at the start, and what is in it now."""

    def __init__(self, view: View, known: Files) -> None:
        self.view = view
        self.known = dict(known)
        self.now = dict(known)

    def changes(self) -> dict[str, str | None]:
        """What was changed; None is gone."""
        names = self.known.keys() | self.now.keys()
        return {n: self.now.get(n) for n in names if self.now.get(n) != self.known.get(n)}


class VolumeMachine(RuleBasedStateMachine):
    """What a volume must do, whoever does what in which order."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="volume-machine-")
        self.store = Volumes(Path(self.folder.name)).open("data", create=PORTABLE)
        self.head: Files = {}
        self.rev = 0
        self.seen = [Seen(self.view(who), {}) for who in range(2)]

    def view(self, who: int) -> View:
        """A view of the volume, each of another process."""
        del who
        return View(self.store, is_copy=True)

    def teardown(self) -> None:
        for seen in self.seen:
            seen.view.close()
        self.folder.cleanup()

    def after(self, who: int) -> Files:
        """The newest version if this view's changes are put over it."""
        merged: dict[str, str | None] = {**self.head, **self.seen[who].changes()}
        return {name: text for name, text in merged.items() if text is not None}

    def clashes(self, who: int) -> list[str]:
        """What others have changed since, too, and otherwise."""
        seen, changes = self.seen[who], self.seen[who].changes()
        return sorted(
            name
            for name, text in changes.items()
            if self.head.get(name) != seen.known.get(name) and self.head.get(name) != text
        )

    @rule(who=WHO, name=NAMES, text=TEXTS)
    def put(self, who: int, name: str, text: str) -> None:
        write(self.seen[who].view.copy, name, text)
        self.seen[who].now[name] = text

    @rule(who=WHO, name=NAMES)
    def remove(self, who: int, name: str) -> None:
        (self.seen[who].view.copy / name).unlink(missing_ok=True)
        self.seen[who].now.pop(name, None)

    @rule(who=WHO, name=NAMES, text=TEXTS, by_force=st.booleans())
    def put_and_commit(self, who: int, name: str, text: str, by_force: bool) -> None:
        self.put(who, name, text)
        self.commit(who, by_force)

    @rule(who=WHO, by_force=st.booleans())
    def commit(self, who: int, by_force: bool) -> None:
        seen, clashes = self.seen[who], self.clashes(who)
        how = LAST_WRITE_WINS if by_force else FAIL
        if clashes and not by_force:
            with pytest.raises(VolumeConflict) as caught:
                seen.view.commit(on_conflict=how)
            assert caught.value.data["files"] == clashes
            return
        self.head = self.after(who)
        seen.known = dict(seen.now)
        seen.view.commit(on_conflict=how)

    @precondition(lambda self: self.rev < 30)
    @rule(who=WHO, name=NAMES, text=TEXTS, step=st.integers(0, 25))
    def put_and_be_killed(self, who: int, name: str, text: str, step: int) -> None:
        self.put(who, name, text)
        if self.clashes(who):
            return
        new = self.after(who)
        was_killed = killed_at(step, self.seen[who].view.commit)
        found = contents(self.store)
        assert found in (self.head, new)
        assert was_killed or found == new
        self.head = found

    @rule(who=WHO)
    def move(self, who: int) -> None:
        self.seen[who].view.move()
        self.seen[who] = Seen(self.seen[who].view, self.head)

    @invariant()
    def the_newest_version_is_whole(self) -> None:
        assert contents(self.store) == self.head
        assert self.store.rev >= self.rev
        self.rev = self.store.rev

    @invariant()
    def a_view_has_what_was_written_to_it(self) -> None:
        for seen in self.seen:
            found = {
                str(path.relative_to(seen.view.copy)): path.read_text()
                for path in seen.view.copy.rglob("*")
                if path.is_file()
            }
            assert found == seen.now


class FarVolumeMachine(VolumeMachine):
    """The same where one view is on another machine, and whoever is killed may be any of both."""

    def view(self, who: int) -> View:
        """One here, and one there."""
        if who:
            return super().view(who)
        folder = Path(self.folder.name)
        return Machine(Volumes(folder), folder / ".machine").view()


TestVolumes = VolumeMachine.TestCase
TestVolumes.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestFarVolumes = FarVolumeMachine.TestCase
TestFarVolumes.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
