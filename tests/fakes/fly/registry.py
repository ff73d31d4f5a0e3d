"""The fake's registry of images: as much of the protocol as a push needs, and what was pushed."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from urllib.parse import parse_qs

from tests.fakes.serving import Reply

_PATH = re.compile(r"/v2/([^/]+)/(blobs/uploads|blobs|manifests)/(.*)")


class Registry:
    """Blobs and manifests of each app; `apps` says which apps there are."""

    def __init__(self, token: str) -> None:
        self._shown = "Basic " + base64.b64encode(f"x:{token}".encode()).decode()
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], bytes] = {}
        self._uploads: set[str] = set()
        self.sent_bytes = 0

    def handle(
        self,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        content: bytes,
        *,
        is_known: bool,
    ) -> Reply:
        """Answer a request about the app in its path, which is there or not."""
        match = _PATH.fullmatch(path)
        if headers.get("authorization") != self._shown:
            return Reply(401, {"errors": [{"code": "UNAUTHORIZED"}]})
        if match is None or not is_known:
            return Reply(404, {"errors": [{"code": "NAME_UNKNOWN"}]})
        app, kind, name = match.groups()
        if kind == "manifests":
            return self._manifest(method, app, name, content)
        if kind == "blobs":
            blob = self.blobs.get((app, name))
            size = (("Content-Length", str(len(blob or b""))),)
            return Reply(404) if blob is None else Reply(200, None, size)
        if method == "POST":
            upload = secrets.token_hex(8)
            self._uploads.add(upload)
            return Reply(202, None, (("Location", f"/v2/{app}/blobs/uploads/{upload}?state=1"),))
        return self._upload(app, name, parse_qs(query).get("digest", [""])[0], content)

    def _upload(self, app: str, upload: str, digest: str, content: bytes) -> Reply:
        self.sent_bytes += len(content)
        if upload not in self._uploads:
            return Reply(404, {"errors": [{"code": "BLOB_UPLOAD_UNKNOWN"}]})
        if digest != _digest(content):
            return Reply(400, {"errors": [{"code": "DIGEST_INVALID"}]})
        self.blobs[app, digest] = content
        return Reply(201)

    def _manifest(self, method: str, app: str, name: str, content: bytes) -> Reply:
        if method in ("GET", "HEAD"):
            found = self.manifests.get((app, name))
            return Reply(404) if found is None else Reply(200, found)
        told = json.loads(content)
        missing = [
            it["digest"]
            for it in [told["config"], *told["layers"]]
            if len(self.blobs.get((app, it["digest"]), b"")) != it["size"]
        ]
        if missing:
            return Reply(400, {"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "detail": missing}]})
        self.manifests[app, name] = self.manifests[app, _digest(content)] = content
        return Reply(201, None, (("Docker-Content-Digest", _digest(content)),))


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
