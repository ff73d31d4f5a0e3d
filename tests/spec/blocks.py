"""Every code block of the spec that a user could write, word for word.

Each runs as a test; those that need a model to answer in `test_generated.py`.
"""

# ruff: noqa: E501 - the spec is quoted word for word

from __future__ import annotations

from typing import NamedTuple


class Block(NamedTuple):
    """A code block: where it stands, and what it needs before it."""

    spec: str
    title: str
    code: str
    after: str = ""
    is_generated: bool = False
    """It has functions whose bodies a model writes."""


MINIMAL = """
from apothic import App

app = App("reporting")


@app.function(cpu=1, memory_mb=1024, timeout_s=300)
def summarize(text: str) -> str:
    return text[:120]
"""

INFER = """
from apothic import App

app = App("demo")


@app.function()
def infer(value: str) -> str:
    return value.upper()
"""

WEB_SERVER = """
import http.server
import threading
from apothic import App
app = App("web-server-demo")
PORT = 8765
class _Handle:
    def __init__(self, server, thread):
        self.server = server
        self.thread = thread
    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(timeout=1)
@app.web_server(PORT)
def serve():
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", PORT),
        http.server.SimpleHTTPRequestHandler,
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    return _Handle(server, thread)
"""

FUNCTIONS = [
    Block("001", "a minimal function", MINIMAL),
    Block("001", "generated functions", is_generated=True, code='''
import apothic

app = apothic.App("generated-demo")


@apothic.liv(
    self_debug=True,
    cache="account",
    examples=[((" READY ",), {})],
)
@app.function(cpu=1, memory_mb=512, timeout_s=60)
def normalize_status(status: str) -> str:
    """Return exactly `status:` followed by the lowercase input stripped of outer whitespace."""
    raise NotImplementedError
'''),
    Block("001", "remote", after=MINIMAL, code='''
result = summarize.remote("long input here")
print(result)
'''),
    Block("001", "spawn", after=MINIMAL, code='''
job = summarize.spawn("generate a summary")
print(job.job_id)
print(job.status())
print(job.wait())
'''),
    Block("001", "watch execution events", after=MINIMAL, code='''
job = summarize.spawn("hello")

for event in job.watch(snapshot=True):
    print(event.event, event.data)
'''),
    Block("001", "remote_events", after=MINIMAL, code='''
for event in summarize.remote_events("hello", snapshot=True):
    print(event.event, event.data)
'''),
    Block("001", "async APIs", code='''
from apothic import App, RemoteFunction

app = App("async-demo")


@app.function()
def infer(value: str) -> str:
    return value.upper()


async def run() -> None:
    await app.aio.deploy()
    remote = RemoteFunction.from_name("async-demo", "infer")
    job = await remote.aio.spawn("hello")
    print(await job.aio.status())
    print(await job.aio.wait())
'''),
    Block("001", "retries", code='''
from apothic import App, Retries

app = App("retry-demo")


@app.function(
    retries=Retries(
        max_retries=4,
        initial_delay=2.0,
        backoff_coefficient=2.0,
        max_delay=30.0,
    )
)
def fetch_record(record_id: str) -> dict:
    ...
'''),
    Block("001", "concurrency limits", code='''
from apothic import App, concurrent

app = App("concurrency-demo")


@app.function()
@concurrent(max_inputs=16, target_inputs=12)
def process(item: str) -> str:
    return item.upper()
'''),
    Block("001", "batching", code='''
from apothic import App, batched

app = App("batch-demo")


@app.function()
@batched(max_batch_size=8, wait_ms=50)
def score_texts(values: list[str]) -> list[int]:
    return [len(value) for value in values]
'''),
    Block("001", "placement filters", code='''
from apothic import App

app = App("filters-demo")


@app.function(
    gpu=["RTX_4070", "RTX_4070S", "RTX_4070_TI", "RTX_3080", "RTX_3060", "RTX_3060_TI"],
    gpu_count=1,
    min_vram_gb=10,
    geolocation=["US", "CA"],
    max_cost_per_hour_usd=1.5,
    offer_filters={
        "num_gpus": {"gte": 1, "lte": 1},
        "gpu_ram": {"gte": 10 * 1024, "lte": 24 * 1024},
        "verification": {"eq": "verified"},
        "cpu_arch": {"eq": "amd64"},
        "pci_gen": {"gte": 3},
    },
)
def inspect_capacity() -> str:
    return "ok"
'''),
    Block("001", "images", code='''
from apothic import App, Image

app = App("image-demo")


@app.function(
    image=(
        Image.debian_slim(python_version="3.11")
        .uv_pip_install("numpy", "pandas")
        .env(PYTHONUNBUFFERED="1")
        .run_commands("mkdir -p /app/cache")
        .add_local_python_source("my_package")
    ),
    disk_gb=160,
    timeout_s=900,
)
def analyze() -> str:
    return "ready"
'''),
    Block("001", "secrets and storage", code='''
from apothic import App, CloudBucketMount, Secret, Volume

app = App("storage-demo")

bucket = CloudBucketMount(
    bucket_name="team-datasets",
    access_key_secret="APOTHIC_BUCKET_ACCESS_KEY_SECRET",
    secret_key_secret="APOTHIC_BUCKET_SECRET_KEY_SECRET",
    endpoint_url="https://fly.storage.tigris.dev",
    prefix="examples/training",
).mounted_at("/bucket")


@app.function(
    secrets=[Secret.from_name("HF_TOKEN")],
    volumes=[
        Volume.from_name("model-cache", create_if_missing=True, mount_path_default="/cache").mounted_at("/cache"),
        bucket,
    ],
)
def prepare() -> str:
    return "mounted"
'''),
]  # fmt: skip

SERVICES = [
    Block("000", "a lightweight endpoint", code='''
from apothic import App
app = App("hello-endpoint")
@app.endpoint()
def hello() -> dict[str, str]:
    return {"message": "hello"}
'''),
    Block("000", "a generated endpoint", is_generated=True, code='''
import apothic
app = apothic.App("liv-endpoint")
@apothic.liv(
    self_debug=True,
    cache="account",
    examples=[((), {})],
)
@app.endpoint(cpu=1, memory_mb=512, timeout_s=120, keep_warm_s=300)
def status() -> dict[str, str]:
    """Return exactly a JSON object with two string keys: `status` set to `ready` and `source` set to `liv`."""
    raise NotImplementedError
'''),
    Block("000", "an ASGI app", code='''
from apothic import App
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
async def health(_request):
    return JSONResponse({"ok": True})
asgi_app = Starlette(routes=[Route("/health", health)])
app = App("starlette-demo")
@app.asgi()
def serve():
    return asgi_app
'''),
    Block("000", "a heavy service", code='''
from apothic import App, Image
app = App("heavy-service")
@app.asgi(
    image=Image.from_registry("python:3.12-slim").uv_pip_install("fastapi", "uvicorn", "transformers"),
    gpu=["RTX_4070", "RTX_4070S", "RTX_4070_TI", "RTX_3080", "RTX_3060", "RTX_3060_TI"],
    gpu_count=1,
    min_vram_gb=10,
    geolocation=["US", "CA"],
    disk_gb=160,
    keep_warm_s=300,
    service_startup_timeout_s=1800,
)
def serve():
    ...
'''),
    Block("000", "a local web server", WEB_SERVER),
    Block("000", "the live service URL", after=WEB_SERVER, code='''
deployment_id = app.deploy()
service = app.functions["serve"]
print(deployment_id)
print(service.service_url)
print(service.get_web_url())
'''),
    Block("000", "the live service URL, awaited", after=WEB_SERVER + "app.deploy()\n", code='''
async def url():
    service = app.functions["serve"]
    print(await service.aio.get_web_url())
'''),
    Block("000", "watch a job while it runs", after=INFER, code='''
job = app.functions["infer"].spawn("hello")
for event in job.watch(snapshot=True):
    print(event.event, event.data)
'''),
    Block("000", "create and watch in one step", after=INFER, code='''
for event in app.functions["infer"].remote_events("hello", snapshot=True):
    print(event.event, event.data)
'''),
]  # fmt: skip

GENERATED = [
    Block("003", "a generated function", is_generated=True, code='''
import apothic

app = apothic.App("liv-demo")


@apothic.liv(
    self_debug=True,
    cache="account",
    examples=[((" READY ",), {})],
)
@app.function(cpu=1, memory_mb=512, timeout_s=60)
def normalize_status(status: str) -> str:
    """Return exactly `status:` followed by the lowercase input stripped of outer whitespace."""
    raise NotImplementedError
'''),
    Block("003", "a generated function by name", is_generated=True, code='''
import apothic
remote = apothic.RemoteFunction.from_name("liv-demo", "normalize_status")
print(remote.remote(" READY "))
'''),
    Block("003", "LivConfig", is_generated=True, code='''
import apothic

app = apothic.App("liv-demo")


@app.function(
    cpu=1,
    memory_mb=512,
    timeout_s=60,
    liv=apothic.LivConfig(
        self_debug=True,
        cache="account",
        examples=[((" READY ",), {})],
    ),
)
def normalize_status(status: str) -> str:
    raise NotImplementedError
'''),
]  # fmt: skip

DEPLOYED = """
import apothic

declared = apothic.App("my-service")


@declared.asgi()
def serve():
    async def answer(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    return answer


declared.deploy()
"""

GOT = (
    DEPLOYED
    + """
from apothic.remote import App
app = App.get(name="my-service")


async def perform_async_tasks(endpoint):
    print(f"working at {endpoint}")
"""
)

REMOTE_APPS = [
    Block("004", "activation", after=DEPLOYED, code='''
from apothic.remote import App
app = App.get(name="my-service")
app.activate(wait=True)
app.deactivate(wait=False)
'''),
    Block("004", "ephemeral contexts", after=GOT, code='''
with app.ephemeral_ctx_sync():
    print(f"App is live at: {app.endpoint}")
async def use():
    async with app.ephemeral_ctx():
        await perform_async_tasks(app.endpoint)
'''),
    Block("004", "watching an app", after=GOT + "app.activate(wait=True)\n", code='''
try:
    updated_app = app.watch(wait_for="activated")
    print(f"App {updated_app.name} is now {updated_app.deployment_status}")
except RuntimeError as e:
    print(f"Deployment failed: {e}")
'''),
]  # fmt: skip

BLOCKS = [*FUNCTIONS, *SERVICES, *GENERATED, *REMOTE_APPS]

COMMANDS = {
    "apothic deployment logs deployments:123": "",
    "apothic deployment logs deployments:123 --function-name serve": "",
    "apothic deployment logs deployments:123 --health-path /healthz": "",
    """apothic run infer --app-name demo --payload '{"args":["hello"],"kwargs":{}}' --watch""": "",
    "apothic job watch jobs:123 --snapshot": "",
}
"""Every command line of the spec, and what it waits for, if for anything."""
