"""A registered function: its name, its limits and its code."""

from __future__ import annotations

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload


class Function:
    """One version of a function; a changed spec or changed code is another one."""

    __slots__ = ("code", "function_id", "number", "spec")

    def __init__(self, number: int, spec: FunctionSpec, code: Payload) -> None:
        self.number = number
        self.function_id = f"functions:{number}"
        self.spec = spec
        self.code = code
