"""An app for machines that are rented: `APOTHIC_BACKEND=cloud python examples/cloud.py`.

What costs money is rented when a call finds no place, and given back when nothing runs on it any
more. `docs/cloud.md` says how, and `examples/cloud_rehearsal.py` goes the whole way here,
for nothing. The endpoint needs `pip install 'apothic[web]'` where it runs.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

from apothic import App, Volume

app = App("cloud")

notes = Volume.from_name("notes", create_if_missing=True)
weights = Volume.create("weights", backend="vast_local")  # rented: it stays on one host, and costs


@app.function(memory_mb=256, max_cost_per_hour_usd=0.1, volumes={"/notes": notes})
def note(text: str) -> list[str]:
    """Add a line to a file on a volume of the machine that this runs on; gives all of them."""
    print(f"noting {text!r}")
    file = Path("/notes/lines.txt")
    with file.open("a", encoding="utf-8") as lines:
        lines.write(text + "\n")
    return file.read_text("utf-8").splitlines()


@app.function(
    gpu="RTX_4090", memory_mb=256, max_cost_per_hour_usd=1.0, volumes={"/weights": weights}
)
def devices() -> str:
    """The GPUs that this call has, as CUDA is told; they are noted where weights would be kept."""
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    Path("/weights/gpus.txt").write_text(gpus, "utf-8")
    return gpus


@app.endpoint(public=True, memory_mb=256, max_cost_per_hour_usd=0.1)
def greet(name: str) -> str:
    """Greet somebody over HTTP, whoever asks."""
    return f"Hello, {name}!"


def main() -> None:
    app.deploy()
    note.remote("first")
    print("on the volume:", note.remote("second"))
    print("GPUs:", devices.remote())
    url = greet.get_web_url()
    with urlopen(f"{url}?{urlencode({'name': 'Ada'})}", timeout=120) as answer:  # noqa: S310
        print(f"{url} says", answer.read().decode())


if __name__ == "__main__":
    main()
