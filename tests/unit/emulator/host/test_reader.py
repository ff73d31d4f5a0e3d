from __future__ import annotations

import os
from select import EPOLLIN, epoll

from apothic_emulator.host.reader import Reader


def test_a_finaliser_may_ask_for_something_while_the_lead_is_passed_on() -> None:
    errands = epoll()

    def is_quiet() -> bool:
        reader.watch()  # as a command does, of which a finaliser may run anywhere
        return False

    reader = Reader(epoll(), errands, lambda events: None, is_quiet)
    reader.poll_for_all()
    os.eventfd_write(reader._wake_fd, 1)

    assert errands.poll(0) == [(reader.channels.fileno(), EPOLLIN)]
    reader.close()


def test_an_heir_of_the_hosts_thread_reads_alone() -> None:
    errands = epoll()
    reader = Reader(epoll(), errands, lambda events: None, lambda: False)
    reader.watch()
    reader._taken = True
    follower = reader._join()
    reader._pass_on()
    os.eventfd_write(reader._wake_fd, 1)

    assert follower is not None
    assert follower.leads
    assert errands.poll(0) == []
    reader.close()
