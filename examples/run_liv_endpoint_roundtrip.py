"""An endpoint that is generated and asked: `python examples/run_liv_endpoint_roundtrip.py`.

A scripted model answers, unless `APOTHIC_LIV_MODEL` names a real one.
"""

from __future__ import annotations

from urllib.request import urlopen

from scripted_model import model_or

import apothic

ANSWER = """```python
def status() -> dict[str, str]:
    return {"status": "ready", "source": "liv"}
```"""

app = apothic.App("liv-endpoint")


@apothic.liv(self_debug=True, cache="account", examples=[((), {})], **model_or(ANSWER))
@app.endpoint(cpu=1, memory_mb=512, timeout_s=120, keep_warm_s=300)
def status() -> dict[str, str]:
    """Return exactly a JSON object with two string keys: `status` set to `ready` and `source` set
    to `liv`."""
    raise NotImplementedError


if __name__ == "__main__":
    app.deploy()
    with urlopen(status.get_web_url()) as answer:  # noqa: S310 - on this machine
        print(answer.read().decode())
