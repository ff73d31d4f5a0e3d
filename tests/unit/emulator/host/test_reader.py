from __future__ import annotations

import os
from select import EPOLLIN, epoll

import pytest

from apothic_backends.interrupts import DEFERRED
from apothic_backends.ticket import Ticket
from apothic_emulator.host.reader import Reader
from tests.signals import unheard_interrupt


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


@pytest.mark.parametrize("is_taken", [False, True], ids=["leads", "follows"])
def test_ctrl_c_that_comes_just_before_a_wait_is_heard(is_taken: bool) -> None:
    reader = Reader(epoll(), epoll(), lambda events: None, lambda: True)
    reader._taken = is_taken

    with pytest.raises(KeyboardInterrupt), unheard_interrupt(), DEFERRED:
        reader.wait(Ticket(), None)

    reader.close()
