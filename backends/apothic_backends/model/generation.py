"""What can go wrong with functions that are generated."""

from __future__ import annotations

from apothic_backends.model.errors import BackendError, UsageError


class NotGenerated(UsageError):
    """A function that is to be generated has not been, and nothing here can generate it."""

    code = "not_generated"


class GenerationFailed(BackendError):
    """No answer of a model could be frozen, or none came; `data["findings"]` says what was wrong.

    Nothing has changed: what was frozen and deployed before still is.
    """

    code = "generation_failed"
