"""Which system calls a guest's programs may not make at all.

They are those that make new namespaces, mount, load code into the kernel, or are seldom used by
anybody but who looks for a way out. All of them fail with EPERM, as for a user without rights.
"""

from __future__ import annotations

import os
import struct

from apothic_backends.sandboxes.inside import kernel

_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = 1, 38
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _MACHINE_AT, _FIRST_AT, _SECOND_AT, _THIRD_AT = 0, 4, 16, 24, 32
_X32 = 0x40000000
_SET_ID = 0o6000
_NAMESPACES = (
    kernel.NEW_NS
    | kernel.NEW_CGROUP
    | kernel.NEW_UTS
    | kernel.NEW_IPC
    | kernel.NEW_USER
    | kernel.NEW_PID
    | kernel.NEW_NET
)
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C

_COMMON = (
    *(425, 426, 427),  # io_uring_setup, io_uring_enter, io_uring_register
    *(428, 429, 430, 431, 432, 433, 442),  # open_tree, move_mount, fsopen ... mount_setattr
)


class Machine:
    """The numbers of one kind of processor."""

    def __init__(
        self,
        audit: int,
        denied: tuple[int, ...],
        modes: tuple[tuple[int, int], ...],
        clone: int,
        ioctl: int,
    ) -> None:
        self.audit = audit
        self.denied = denied + _COMMON
        self.modes = modes
        """Calls that set permission bits, and which argument that is."""
        self.clone = clone
        self.ioctl = ioctl


_MACHINES = {
    "x86_64": Machine(
        0xC000003E,
        (
            *(155, 161, 163, 165, 166),  # pivot_root, chroot, acct, mount, umount2
            *(167, 168, 169, 170, 171, 172, 173),  # swapon, swapoff, reboot, names, iopl, ioperm
            *(175, 176, 179, 246, 248, 249, 250),  # modules, quotactl, kexec_load, keys
            *(272, 298, 303, 304, 308),  # unshare, perf_event_open, handles, setns
            *(312, 313, 320, 321, 323),  # kcmp, finit_module, kexec_file_load, bpf, userfaultfd
        ),
        ((90, _SECOND_AT), (91, _SECOND_AT), (268, _THIRD_AT), (452, _THIRD_AT)),
        56,
        16,
    ),
    "aarch64": Machine(
        0xC00000B7,
        (
            *(41, 51, 89, 40, 39),  # pivot_root, chroot, acct, mount, umount2
            *(224, 225, 142, 161, 162),  # swapon, swapoff, reboot, names
            *(105, 106, 60, 104, 217, 218, 219),  # modules, quotactl, kexec_load, keys
            *(97, 241, 264, 265, 268),  # unshare, perf_event_open, handles, setns
            *(272, 273, 294, 280, 282),  # kcmp, finit_module, kexec_file_load, bpf, userfaultfd
        ),
        ((52, _SECOND_AT), (53, _THIRD_AT), (452, _THIRD_AT)),
        220,
        29,
    ),
}
_CLONE3 = 435
"""Its flags are in memory, where no filter sees them; libraries take `clone` if there is none."""


def install() -> list[str]:
    """Forbid them for this process and all that it starts; what could not be done."""
    machine = _MACHINES.get(os.uname().machine)
    if machine is None:
        return [f"a filter of system calls: their numbers on {os.uname().machine} are not known"]
    try:
        kernel.filter_calls(program(machine))
    except OSError as error:
        return [f"a filter of system calls: {error.strerror}"]
    return []


def program(machine: Machine) -> bytes:
    """The filter, as the kernel takes it: eight bytes for each instruction."""
    refuse = _step(_RETURN, _ERRNO | _EPERM)
    lines = [
        _step(_LOAD, _MACHINE_AT),
        _step(_JUMP_EQUAL, machine.audit, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER_AT),
        _step(_JUMP_AT_LEAST, _X32, 0, 1),
        refuse,
        _step(_JUMP_EQUAL, _CLONE3, 0, 1),
        _step(_RETURN, _ERRNO | _ENOSYS),
    ]
    for number in machine.denied:
        lines += [_step(_JUMP_EQUAL, number, 0, 1), refuse]
    lines += _unless(machine.clone, _FIRST_AT, _JUMP_ANY_BIT, _NAMESPACES)
    for number, argument in machine.modes:
        lines += _unless(number, argument, _JUMP_ANY_BIT, _SET_ID)
    for request in (_TIOCSTI, _TIOCLINUX):
        lines += _unless(machine.ioctl, _SECOND_AT, _JUMP_EQUAL, request)
    lines.append(_step(_RETURN, _ALLOW))
    return b"".join(lines)


def _unless(number: int, argument: int, test: int, value: int) -> list[bytes]:
    """Refuse a call if the test holds for one of its arguments."""
    return [
        _step(_JUMP_EQUAL, number, 0, 4),
        _step(_LOAD, argument),
        _step(test, value, 0, 1),
        _step(_RETURN, _ERRNO | _EPERM),
        _step(_LOAD, _NUMBER_AT),
    ]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
