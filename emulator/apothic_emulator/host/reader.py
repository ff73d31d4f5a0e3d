"""Who reads: one thread at a time polls the executors' channels, for everybody.

A caller that waits takes the lead and polls by itself, so that its own result reaches it without
a switch of threads. Callers that find a leader sleep, and are woken by their result or when the
lead falls to them. While nobody leads, the host's thread watches.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from select import EPOLLIN, epoll

from apothic_backends.interrupts import WINDOW
from apothic_backends.ticket import Ticket, acquire, stretch

_MOST_EVENTS = 64
"""Taken at once; the default allocates room for a thousand with every poll."""

LONGEST_POLL_S = 1_000_000.0
"""The kernel takes no longer timeout than 24 days; whoever polls looks at the clock afterwards."""

Handle = Callable[[list[tuple[int, int]]], None]


class _Follower:
    """A caller that sleeps until its ticket is done or the lead falls to it."""

    __slots__ = ("_lock", "leads")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.leads = False

    def wake(self) -> None:
        try:
            self._lock.release()
        except RuntimeError:
            pass  # woken twice: by its result and by the lead

    def sleep(self, deadline: float | None) -> None:
        acquire(self._lock, deadline)


class Reader:
    """The right to poll `channels`, and the callers that wait for it.

    The host's thread watches `channels` (they are *armed* in its own epoll) only while nobody
    leads and something may be reported: so a program that makes one blocking call after another
    never touches the host's epoll, and its thread sleeps on.
    """

    def __init__(
        self, channels: epoll, errands: epoll, handle: Handle, is_quiet: Callable[[], bool]
    ) -> None:
        self.channels = channels
        self._errands = errands
        self._handle = handle
        self._is_quiet = is_quiet
        self._lock = threading.RLock()  # a finaliser, halfway through here, asks for something too
        self._taken = False
        self._armed = False
        self._followers: deque[_Follower] = deque()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._leading: Ticket[object] | None = None
        self._leader = 0
        channels.register(self._wake_fd, EPOLLIN)
        errands.register(channels, 0)

    def wait(self, ticket: Ticket[object], deadline: float | None) -> None:
        """Read, or wait for whoever reads, until the ticket is done or the deadline has passed."""
        while not ticket.done:
            follower = self._join()
            if follower is None or self._follow(follower, ticket, deadline):
                self._lead(ticket, deadline)
            if deadline is not None and time.monotonic() >= deadline:
                return

    def _join(self) -> _Follower | None:
        """Take the lead (None), or stand in line for it."""
        with self._lock:
            if not self._taken:
                self._taken = True
                if self._armed:
                    self._arm(wanted=False)
                return None
            follower = _Follower()
            self._followers.append(follower)
            return follower

    def _arm(self, *, wanted: bool) -> None:
        self._armed = wanted
        self._errands.modify(self.channels, EPOLLIN if wanted else 0)

    def watch(self) -> None:
        """See to it that somebody reads: the host's thread, unless a caller does."""
        if not self._armed and not self._taken:
            with self._lock:
                if not self._armed and not self._taken:
                    self._arm(wanted=True)

    def _follow(self, follower: _Follower, ticket: Ticket[object], deadline: float | None) -> bool:
        """Sleep until the ticket is done or the lead falls to this caller: whether it did."""
        leads = False
        try:
            if ticket.on_done(follower.wake):
                follower.sleep(deadline)
                ticket.off_done(follower.wake)
                leads = not ticket.done
        except BaseException:  # an interrupt, which may come together with the lead
            ticket.off_done(follower.wake)
            raise
        finally:
            leads = self._stand_down(follower, keep=leads)
        return leads

    def _stand_down(self, follower: _Follower, *, keep: bool) -> bool:
        """Leave the line; a lead that has fallen to this caller is kept or passed on."""
        with self._lock:
            if not follower.leads:
                self._followers.remove(follower)
                return False
        if not keep:
            self._pass_on()
        return keep

    def _lead(self, ticket: Ticket[object], deadline: float | None) -> None:
        self._leader = threading.get_ident()
        self._leading = ticket
        try:
            while not ticket.done:
                with WINDOW:
                    events = self.channels.poll(stretch(deadline), _MOST_EVENTS)
                if events:
                    self._handle(events)
                elif deadline is not None and time.monotonic() >= deadline:
                    return
        finally:
            self._leading = None
            self._pass_on()

    def _pass_on(self) -> None:
        """Give the lead to the next caller in line, else to the host's thread."""
        with self._lock:
            if self._followers:
                if self._armed:  # the host's thread had the lead, and would be woken with the heir
                    self._arm(wanted=False)
                heir = self._followers.popleft()
                heir.leads = True
                heir.wake()
                return
            self._taken = False
            if not self._armed and not self._is_quiet():
                self._arm(wanted=True)

    def poll_for_all(self) -> None:
        """The host's thread: read what there is, unless a caller does."""
        with self._lock:
            if self._taken:
                return
            self._taken = True
        try:
            events = self.channels.poll(0, _MOST_EVENTS)
            if events:
                self._handle(events)
        finally:
            self._pass_on()

    def wake_leader(self) -> None:
        """Some ticket was completed on this thread: see to it that a leading caller notices."""
        ticket = self._leading
        if ticket is not None and ticket.done and threading.get_ident() != self._leader:
            os.eventfd_write(self._wake_fd, 1)

    def woken(self, fd: int) -> None:
        """Take our own wake-up call, if the event was that."""
        if fd == self._wake_fd:
            try:
                os.eventfd_read(fd)
            except BlockingIOError:
                pass  # somebody else has seen it

    def close(self) -> None:
        """Let go of the descriptor."""
        os.close(self._wake_fd)


def poll_timeout(deadline: float) -> float:
    """Seconds until the deadline, as far ahead as can be polled for."""
    return min(LONGEST_POLL_S, max(0.0, deadline - time.monotonic()))
