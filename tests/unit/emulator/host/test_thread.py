from __future__ import annotations

import pytest

from apothic_emulator.agent.zygote import Zygote
from apothic_emulator.host.thread import HostThread


class Broken(Zygote):
    """Cannot be started, for a reason that nobody has thought of."""

    def start(self) -> None:
        raise LookupError("no interpreter")


def test_the_host_hears_of_anything_that_keeps_the_zygote_from_starting() -> None:
    heard: list[BaseException] = []
    thread = HostThread(Broken())

    def work() -> None:
        with pytest.raises(LookupError) as caught:
            thread.check()
        heard.append(caught.value)

    thread.give(work)
    thread.start()
    thread.rest()
    thread.end()

    assert [str(error) for error in heard] == ["no interpreter"]
