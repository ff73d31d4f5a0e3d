"""What only a control plane in a process of its own can answer, or fail to."""

from __future__ import annotations

from apothic_backends.model.errors import BackendError, UsageError


class PayloadTooLarge(UsageError):
    """What would travel to or from a control plane is too large; `data`: `nbytes`, `most`."""

    code = "payload_too_large"


class KeyRefused(UsageError):
    """The control plane does not know this API key, or no more; or there is none to show."""

    code = "key_refused"


class NotAllowed(UsageError):
    """The scopes of this API key do not allow that."""

    code = "forbidden"


class Unreachable(BackendError):
    """The control plane cannot be reached, or not any more; whether a command arrived is open."""

    code = "unreachable"


class NotTrusted(Unreachable):
    """The certificate of a server does not prove that it is the one that was named."""

    code = "not_trusted"


class Busy(BackendError):
    """Another process has what a server needs: its port, or its home."""

    code = "busy"
