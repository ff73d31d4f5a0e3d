"""What a model makes of a stub, before anything is frozen: `python examples/liv_freeze_preview.py`.

The first answer of the scripted model imports what it may not, and is repaired. With a real one:
`pip install 'apothic[liv]'`, `APOTHIC_LIV_MODEL=...`, `APOTHIC_LIV_API_KEY=...`.
"""

from __future__ import annotations

import sys

from scripted_model import model_or

import apothic
from apothic.cli import main

FIRST = """```python
import os

def slug(title: str) -> str:
    return os.path.basename(title.strip().lower().replace(" ", "-"))
```"""
SECOND = """```python
import re

def slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
```"""

app = apothic.App("liv-preview")


@apothic.liv(
    self_debug=True,
    examples=[(("Hello, World!",), {}, "hello-world"), (("  a  b ",), {}, "a-b")],
    **model_or(FIRST, SECOND),
)
@app.function()
def slug(title: str) -> str:
    """The title in lowercase ASCII letters and digits, with one hyphen between its words."""
    raise NotImplementedError


if __name__ == "__main__":
    sys.argv[1:] = ["liv", "preview", __file__]
    sys.exit(main())
