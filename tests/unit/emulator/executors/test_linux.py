from __future__ import annotations

import ctypes
import importlib

from apothic_emulator.executors import linux


def test_user_code_calls_the_interpreter_as_if_we_did_not() -> None:
    importlib.reload(linux)
    nobody = ctypes.c_long(0)

    stopped = ctypes.pythonapi.PyThreadState_SetAsyncExc(nobody, ctypes.py_object(SystemExit))

    assert stopped == 0
