from __future__ import annotations

from pathlib import Path

import pytest

from apothic_emulator.agent import zygote
from apothic_emulator.agent.zygote import Zygote
from apothic_emulator.executors import orders


class Dying(Zygote):
    """A zygote without a process; an executor is asked for while the next one is waited for."""

    def start(self) -> None:
        """There is none."""

    def wait(self) -> None:
        self.fork(7, [])


def test_an_executor_can_be_asked_for_while_a_zygote_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zygote, "kill_marked", lambda mark: None)
    dying = Dying()
    dying.fork(3, [])
    dying._chain[0].far.close()

    assert [message.number for message in dying.hear()] == [3]
    asked = orders.parse(dying._chain[0].far.recv(orders.MOST))
    assert (asked.kind, asked.number) == (orders.FORK, 7)
    dying.close()


def test_an_executor_of_a_zygote_that_has_just_gone_has_ended_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zygote, "kill_marked", lambda mark: None)
    dying = Dying()
    dying._chain[0].far.close()

    dying.fork(3, [])

    assert [(said.kind, said.number) for said in dying.hear()] == [(orders.ENDED, 3)]
    dying.close()


def test_a_zygote_that_is_told_to_end_leaves_what_its_host_may_still_read(tmp_path: Path) -> None:
    group = tmp_path / "7"
    group.mkdir()
    ending = Zygote()
    ending.start()
    ending.clean_up((str(tmp_path),))

    ending.end()
    ending.wait()
    ending.close()

    assert group.exists()
