"""Projects with functions that are to be generated, as files."""

from __future__ import annotations

import importlib
import sys
from itertools import count
from pathlib import Path
from types import ModuleType

import pytest

_numbers = count()

APP = '''
import apothic

app = apothic.App("demo")


@apothic.liv({liv})
@app.function({options})
def normalize(status: str) -> str:
    """Return `status:` followed by the lowercase input stripped of outer whitespace."""
    raise NotImplementedError
'''


def answer(text: str) -> str:
    """What a model says that returns this."""
    return f"```python\ndef normalize(status: str) -> str:\n    return {text}\n```"


GOOD = answer("'status:' + status.strip().lower()")


class Project:
    """A folder with an app in it, which is the working directory and can be imported from."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        (folder / "pyproject.toml").touch()
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))

    @property
    def frozen(self) -> Path:
        """Where its function is frozen."""
        return self.folder / "apothic_liv" / "demo" / "normalize.py"

    def app(self, liv: str = "", options: str = "", text: str = APP) -> ModuleType:
        """The app, as another program that has it would import it."""
        name = f"app_of_liv_{next(_numbers)}"
        (self.folder / f"{name}.py").write_text(text.format(liv=liv, options=options))
        importlib.invalidate_caches()
        for module in [it for it in sys.modules if it.partition(".")[0] == "apothic_liv"]:
            del sys.modules[module]
        return importlib.import_module(name)
