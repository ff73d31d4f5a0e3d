"""A function that is generated, deployed and called: `python examples/run_liv_roundtrip.py`.

It is frozen in `apothic_liv/`, beside this file, and runs there as any other; run it again, and
nobody is asked. A scripted model answers, unless `APOTHIC_LIV_MODEL` names a real one.
"""

from __future__ import annotations

from scripted_model import model_or

import apothic

ANSWER = """```python
def normalize_status(status: str) -> str:
    return f"status:{status.strip().lower()}"
```"""

app = apothic.App("liv-demo")


@apothic.liv(
    self_debug=True,
    cache="account",
    examples=[((" READY ",), {}, "status:ready")],
    **model_or(ANSWER),
)
@app.function(cpu=1, memory_mb=512, timeout_s=60)
def normalize_status(status: str) -> str:
    """Return exactly `status:` followed by the lowercase input stripped of outer whitespace."""
    raise NotImplementedError


if __name__ == "__main__":
    print(app.deploy())
    remote = apothic.RemoteFunction.from_name("liv-demo", "normalize_status")
    print(remote.remote(" READY "))
