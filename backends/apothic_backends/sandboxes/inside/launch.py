"""From a bare interpreter to the first process of a guest.

It enters namespaces, builds a root of its own, becomes a user without rights and serves. Whatever
the kernel refuses on the way is told to the owner, who decides what then; nothing is left out.
"""

from __future__ import annotations

import _socket
import fcntl
import os
import resource
import struct

from apothic_backends.sandboxes.inside import filters, kernel, packets, root, serve
from apothic_backends.sandboxes.inside.plan import CONTAINER, LIMITS, Plan

_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_OPEN_FILES = 8192
_ENOSYS = 38


class Missing(Exception):
    """What was refused, and why."""


def main(asked: int, told: int) -> None:
    """Serve the owner at the other end of two sockets until it is gone."""
    for fd in (asked, told):
        os.set_inheritable(fd, False)  # no program of the guest may have them
    links = serve.Links(_socket.socket(fileno=asked), _socket.socket(fileno=told))
    packet = packets.receive(links.asked, bytearray(packets.MOST_BYTES))
    if packet is None:
        return
    os.umask(0o022)
    plan = Plan.from_texts(packet.texts)
    kernel.interrupt_by_default()
    try:
        if plan.level == LIMITS:
            _start_within_limits(plan, links)
        elif plan.level == CONTAINER:
            _start_in_container(plan, links)
        else:
            _start_in_namespaces(plan, links)
    except Missing as missing:
        packets.send(links.asked, packets.REFUSED, texts=[str(missing)])


def _start_within_limits(plan: Plan, links: serve.Links) -> None:
    kernel.adopt_orphans()  # it lives on when its owner dies, until it has killed them
    kernel.forbid_new_privileges()
    _limit(plan)
    kernel.be_visible(is_visible=False)
    serve.Server(links, plan, []).run()


def _start_in_container(plan: Plan, links: serve.Links) -> None:
    """What else there is to do has been done already."""
    kernel.forbid_new_privileges()
    _limit(plan)
    missing = filters.install()
    kernel.be_visible(is_visible=False)
    serve.Server(links, plan, missing).run()


def _start_in_namespaces(plan: Plan, links: serve.Links) -> None:
    kernel.die_with_parent()
    is_root = plan.uid >= 0
    _enter(plan, is_root=is_root)
    pid = os.fork()
    if pid:
        links.close()
        _status = os.waitpid(pid, 0)
        return
    kernel.die_with_parent()
    try:
        _try("a root of its own", root.build, plan, root.INNER_ID)
        if not plan.has_network:
            _try("a network of its own", _raise_loopback)
        _try("no rights", _become, plan, is_root)
        _limit(plan)
        missing = filters.install()
        kernel.be_visible(is_visible=False)
        serve.Server(links, plan, missing).run()
    except Missing as error:
        packets.send(links.asked, packets.REFUSED, texts=[str(error)])
    finally:
        os._exit(0)


def _enter(plan: Plan, *, is_root: bool) -> None:
    flags = kernel.NEW_NS | kernel.NEW_PID | kernel.NEW_IPC | kernel.NEW_UTS | kernel.NEW_CGROUP
    if not plan.has_network:
        flags |= kernel.NEW_NET
    if is_root:
        _try("namespaces", kernel.unshare, flags)
    else:
        uid, gid = os.getuid(), os.getgid()
        _try("user namespaces", kernel.unshare, kernel.NEW_USER | flags)
        _try("a user of its own", _map_user, uid, gid)
    _try("a name of its own", kernel.set_host_name, "sandbox")


def _map_user(uid: int, gid: int) -> None:
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{root.INNER_ID} {uid} 1")
    _write("/proc/self/gid_map", f"{root.INNER_ID} {gid} 1")


def _raise_loopback() -> None:
    """A network of its own has one device, which is off at first."""
    with_name = struct.pack("16sh14x", b"lo", _IFF_UP)
    probe = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    fcntl.ioctl(probe.fileno(), _SIOCSIFFLAGS, with_name)
    probe.close()


def _become(plan: Plan, is_root: bool) -> None:  # noqa: FBT001 - passed on by `_try`
    """Become the guest's user, in a user namespace, without any rights and for good."""
    if is_root:
        kernel.drop_bounding_set()
        os.setgroups([])
        os.setresgid(plan.uid, plan.uid, plan.uid)
        os.setresuid(plan.uid, plan.uid, plan.uid)
        kernel.die_with_parent()  # another user's wish is not kept
        kernel.be_visible(is_visible=True)  # or what maps users would be root's
        kernel.unshare(kernel.NEW_USER)
        _map_user(plan.uid, plan.uid)
    kernel.forbid_new_privileges()
    kernel.drop_bounding_set()
    kernel.drop_capabilities()


def _limit(plan: Plan) -> None:
    """What each process of the guest may use, this one included."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = _OPEN_FILES if most == resource.RLIM_INFINITY else min(_OPEN_FILES, most)
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: files}
    if plan.memory_mb:
        limits[resource.RLIMIT_DATA] = plan.memory_mb << 20
    if plan.pids and plan.level != LIMITS:
        limits[resource.RLIMIT_NPROC] = plan.pids + 1  # it is one itself
    for which, most in limits.items():
        resource.setrlimit(which, (most, most))
    if plan.cores:
        os.sched_setaffinity(0, [int(core) for core in plan.cores.split(",")])


def _try(what: str, do: object, *args: object) -> None:
    """Do a step; what the kernel refuses is missing."""
    assert callable(do)
    try:
        do(*args)
    except OSError as error:
        name = f" ({error.filename})" if error.filename else ""
        raise Missing(f"{what}: {error.strerror}{name}") from None


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
