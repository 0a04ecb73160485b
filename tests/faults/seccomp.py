"""This module is where the kernel is told to refuse a system call of this process, so that its errors are real ones.

Linux only. A filter can never be taken back, so that only programs of their own use it; their next start is without.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import sys
from collections.abc import Sequence

# System calls by name, as each machine numbers them (asm/unistd_64.h).
_NUMBERS = {
    "x86_64": {"fsync": 74, "fdatasync": 75, "seccomp": 317},
    "aarch64": {"fsync": 82, "fdatasync": 83, "seccomp": 277},
}
_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER, _FILTER_FLAG_TSYNC = 1, 1
_LOAD_WORD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ERRNO, _ALLOW = 0x00050000, 0x7FFF0000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def can_refuse() -> bool:
    """Return whether this machine is one whose calls are known here."""
    return sys.platform == "linux" and platform.machine() in _NUMBERS


def refuse(calls: Sequence[str], error: int) -> None:
    """Let these calls fail with ``error``, in every thread of this process, from now on."""
    numbers = _NUMBERS[platform.machine()]
    steps = [struct.pack("HBBI", _LOAD_WORD, 0, 0, 0)]
    for call in calls:
        steps.append(struct.pack("HBBI", _JUMP_EQUAL, 0, 1, numbers[call]))
        steps.append(struct.pack("HBBI", _RETURN, 0, 0, _ERRNO | error))
    steps.append(struct.pack("HBBI", _RETURN, 0, 0, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(steps))
    program = _Program(len(steps), ctypes.cast(code, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.syscall(
        numbers["seccomp"], _SET_MODE_FILTER, _FILTER_FLAG_TSYNC, ctypes.byref(program)
    ):
        raise OSError(ctypes.get_errno(), "the kernel takes no filter")
