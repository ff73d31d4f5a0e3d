"""What handles have of functions whose bodies are generated: `apothic.generation`, loaded late."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from apothic._declared import DECLARED
from apothic.options import FunctionOptions
from apothic.policies import Marks
from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_backends.registry import is_worker


class Generatable(ABC):
    """A declared function, whose body may be generated."""

    app_name: str
    name: str
    options: FunctionOptions
    origin: Any = None
    """The handle that it was made of, by `with_options`; None for one that is in the program."""

    @property
    def written(self) -> Any:
        """The handle that stands in the program: what others make of it has the same body."""
        return self if self.origin is None else self.origin

    @property
    @abstractmethod
    def _marks(self) -> Marks: ...

    @abstractmethod
    def raw(self) -> Callable[..., Any]:
        """The function as it was written."""

    @abstractmethod
    def spec(self) -> FunctionSpec:
        """What a backend must know of it."""

    @abstractmethod
    def code(self) -> Payload:
        """What loads to the function elsewhere."""

    @property
    def liv(self) -> Any:
        """How its body is generated: a `LivConfig`; None if it is as it was written."""
        return self.options.get("liv") or self._marks.get("liv")

    @property
    def freeze(self) -> Callable[[], object] | None:
        """What has bodies generated, which may take minutes; None if all is as it was written.

        Of what is generated that is its own; of others those that their app has: they may call
        them, and no worker generates any.
        """
        if self.liv is not None:
            return self.code
        named = [it for (app_name, _), it in DECLARED.items() if app_name == self.app_name]
        those = [it for it in named if it.liv is not None]
        return None if not those or is_worker() else lambda: [it.code() for it in those]

    @property
    def stub_kind(self) -> str | None:
        """What is generated if its body is; None for what cannot be generated."""
        return "function"

    def check_liv(self) -> None:
        """See to it that it is said once, of what can be generated.

        Raises:
            InvalidOption: it is not.
        """
        if "liv" in self.options and "liv" in self._marks:
            raise InvalidOption(
                f"{self.name}(): @apothic.liv and liv= both say how it is generated; keep one",
                option="liv",
            )
        if self.stub_kind is None:
            raise InvalidOption(
                f"{self.name}: liv generates functions and endpoints: what @app.function and "
                "@app.endpoint declare",
                option="liv",
            )

    def body(self) -> Callable[..., Any]:
        """What runs in place: the function as it was written, or what was generated for it.

        Raises:
            NotGenerated, GenerationFailed: it is to be generated, and cannot be.
        """
        if self.liv is None:
            return self.raw()
        from apothic.generation.freezing import loaded  # for few functions  # noqa: PLC0415

        return loaded(self.written)

    def frozen(self) -> Payload:
        """What loads to what was generated for it, which is frozen first, unless it is.

        Raises:
            NotGenerated, GenerationFailed: it cannot be generated.
        """
        from apothic.generation.freezing import frozen  # for few functions  # noqa: PLC0415

        return Payload(frozen(self.written).encode(), codec="ref")
