"""Has an image put into Fly's registry, where its machines find it: no Docker is asked.

What goes there is what `docker save` has written. Layers are compressed, always to the same bytes,
and those that are there already are not sent again.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import shutil
import tarfile
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

from apothic_backends.model.errors import UsageError
from apothic_backends.providers.base import ProviderError
from apothic_backends.providers.fly.api import authorization
from apothic_backends.providers.http import Answer, Clock, Lost, Speaker, Unsent

URL: Final = "https://registry.fly.io"

_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_CHUNK: Final = 1024 * 1024
_TRIES: Final = 5
_PAUSE_S: Final = 3.0
_KNOWN_WITHIN_S: Final = 60.0
_UPLOAD_S: Final = 900.0


class _Blob(NamedTuple):
    kind: str
    digest: str
    size: int

    @property
    def told(self) -> dict[str, Any]:
        return {"mediaType": self.kind, "digest": self.digest, "size": self.size}


def push(
    saved: Path, app: str, tag: str, token: str, *, url: str = URL, clock: Clock | None = None
) -> str:
    """Put an image there; gives the name by which a machine is made of exactly that one.

    `saved` is a file that `docker save` has written, with one image for linux/amd64. The app has to
    be there.

    Raises:
        UsageError: the file is no such thing, or the image is for other machines.
        ProviderError: the registry does not take it.
    """
    with _open_registry(app, token, url, clock) as registry, _opened(saved) as archive:
        digest = registry.put(archive, tag)
    return f"{urlsplit(url).netloc}/{app}@{digest}"


def find(app: str, tag: str, token: str, *, url: str = URL) -> str | None:
    """The name of what was put there under a tag, as `push` gives it; None if nothing was.

    Raises:
        ProviderError: the registry cannot be asked.
    """
    with _open_registry(app, token, url, None) as registry:
        digest = registry.find(tag)
    return None if digest is None else f"{urlsplit(url).netloc}/{app}@{digest}"


@contextmanager
def _open_registry(app: str, token: str, url: str, clock: Clock | None) -> Generator[_Registry]:
    word = authorization(token).partition(" ")[2]
    basic = base64.b64encode(f"x:{word}".encode()).decode()
    headers = {"authorization": f"Basic {basic}"}
    registry = _Registry(Speaker("fly's registry", url, headers, clock=clock), url, app, clock)
    try:
        yield registry
    finally:
        registry.close()


@contextmanager
def _opened(saved: Path) -> Generator[tarfile.TarFile]:
    try:
        with tarfile.open(saved) as archive:
            yield archive
    except (tarfile.TarError, KeyError, IndexError, TypeError, ValueError) as error:
        raise UsageError(
            f"{saved} is no image as `docker save` writes it: {error or type(error).__name__}"
        ) from error


class _Registry:
    def __init__(self, speaker: Speaker, url: str, app: str, clock: Clock | None) -> None:
        self._speaker, self._url, self._app = speaker, url, app
        self._clock = clock or Clock()

    def close(self) -> None:
        self._speaker.close()

    def find(self, tag: str) -> str | None:
        """The digest of the manifest that has a tag."""
        kind = {"accept": _MANIFEST}
        answer = self._ask("GET", f"/v2/{self._app}/manifests/{tag}", kind=kind)
        return _digest(answer.body) if answer.status == 200 else None  # noqa: PLR2004 - of HTTP

    def put(self, archive: tarfile.TarFile, tag: str) -> str:
        """Send all of an image; gives the digest of its manifest."""
        (its,) = json.loads(_member(archive, "manifest.json").read())
        config = _member(archive, its["Config"]).read()
        _check_platform(json.loads(config))
        told = _Blob(_CONFIG, _digest(config), len(config))
        with tempfile.TemporaryFile() as file:
            file.write(config)
            self._put_blob(told, file)
        layers = [self._put_layer(_member(archive, name)) for name in its["Layers"]]
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": told.told,
                "layers": [layer.told for layer in layers],
            }
        ).encode()
        path = f"/v2/{self._app}/manifests/{tag}"
        kind = {"content-type": _MANIFEST}
        self._insist("PUT", path, lambda: self._ask("PUT", path, manifest, kind), (201,))
        return _digest(manifest)

    def _put_layer(self, layer: IO[bytes]) -> _Blob:
        with tempfile.TemporaryFile() as file:
            begin = layer.read(4)
            layer.seek(0)
            if begin.startswith((_GZIP, _ZSTD)):
                shutil.copyfileobj(layer, file, _CHUNK)
                kind = f"{_LAYER}+{'gzip' if begin.startswith(_GZIP) else 'zstd'}"
            else:
                with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                    shutil.copyfileobj(layer, packed, _CHUNK)
                kind = f"{_LAYER}+gzip"
            file.seek(0)
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
            blob = _Blob(kind, digest, file.tell())
            self._put_blob(blob, file)
        return blob

    def _put_blob(self, blob: _Blob, file: IO[bytes]) -> None:
        path = f"/v2/{self._app}/blobs/{blob.digest}"
        answer = self._insist("HEAD", path, lambda: self._ask("HEAD", path), (200, 404))
        if answer.status != 200:  # noqa: PLR2004 - of HTTP
            self._insist("PUT", path, lambda: self._upload(blob, file), (201,))

    def _upload(self, blob: _Blob, file: IO[bytes]) -> Answer:
        answer = self._ask("POST", f"/v2/{self._app}/blobs/uploads/")
        if answer.status != 202:  # noqa: PLR2004 - of HTTP
            return answer
        place = urljoin(self._url, answer.headers.get("location", ""))
        if urlsplit(place)[:2] != urlsplit(self._url)[:2]:
            raise ProviderError(
                f"fly's registry wants the image sent to {urlsplit(place).netloc}, where the token "
                "does not belong",
                provider="fly",
            )
        sign = "&" if "?" in place else "?"
        file.seek(0)
        kind = {"content-type": "application/octet-stream", "content-length": str(blob.size)}
        return self._ask("PUT", f"{place}{sign}digest={blob.digest}", file, kind)

    def _ask(self, method: str, path: str, content: Any = None, kind: Any = None) -> Answer:
        timeout_s = _UPLOAD_S if content is not None else None
        how: dict[str, Any] = {"content": content, "headers": kind, "timeout_s": timeout_s}
        return self._speaker.ask(method, path, **how)

    def _insist(self, method: str, path: str, ask: Any, good: tuple[int, ...]) -> Answer:
        """Ask until it works: all of this is safe to repeat. A new app is not known at once."""
        until, failures = self._clock.monotonic() + _KNOWN_WITHIN_S, 0
        while True:
            try:
                answer = ask()
            except (Unsent, Lost) as error:
                answer, why = None, f"it {error}"
            else:
                if answer.status in good:
                    return answer
                why = f"{answer.status} {answer.body[:300].decode('utf-8', 'replace')}"
            failures += 1
            if not self._is_worth_it(answer, failures, until):
                raise ProviderError(
                    f"fly's registry does not take the image: {method} {path}: {why}",
                    provider="fly",
                )
            self._clock.sleep(_PAUSE_S)

    def _is_worth_it(self, answer: Answer | None, failures: int, until: float) -> bool:
        if answer is not None and answer.status in (401, 404):
            return self._clock.monotonic() < until
        is_trouble = answer is None or answer.status >= 500 or answer.status == 429  # noqa: PLR2004
        return is_trouble and failures < _TRIES


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    found = archive.extractfile(name)
    if found is None:
        raise KeyError(name)
    return found


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _check_platform(config: Any) -> None:
    platform = f"{config.get('os', 'linux')}/{config.get('architecture', 'amd64')}"
    if platform != "linux/amd64":
        raise UsageError(
            f"the image is for {platform}, and Fly's machines are linux/amd64: build it with "
            "--platform linux/amd64"
        )
