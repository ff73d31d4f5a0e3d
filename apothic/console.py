"""Where things stand on the pages of a control plane."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

_DASHBOARDS = {"localhost:8090": "localhost:8080"}
"""Control planes whose pages are served from another port, by convention."""


class Console:
    """The pages of the control plane at an endpoint."""

    def __init__(self, endpoint: str) -> None:
        """`endpoint` is an address, with or without `https://`; without, `dns:///` may stand."""
        bare = endpoint.removeprefix("dns:///")
        parts = urlsplit(bare if "://" in bare else f"//{bare}")
        host = _DASHBOARDS.get(parts.netloc, parts.netloc)
        is_local = host.partition(":")[0] in ("localhost", "127.0.0.1")
        self._root = f"{parts.scheme or ('http' if is_local else 'https')}://{host}"

    def app_url(self, project: str, domain: str, app_name: str) -> str:
        """The page of an app."""
        where = "/".join(
            f"{kind}/{quote(name, safe='')}"
            for kind, name in (("domain", domain), ("project", project), ("apps", app_name))
        )
        return f"{self._root}/v2/{where}"
