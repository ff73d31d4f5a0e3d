"""What this user has told pip, by files and variables; and the same in words for uv.

uv reads none of it. Whoever has said where packages come from means that, whichever tool asks.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path

_FIELDS = {
    "index-url": "PIP_INDEX_URL",
    "extra-index-url": "PIP_EXTRA_INDEX_URL",
    "find-links": "PIP_FIND_LINKS",
    "no-index": "PIP_NO_INDEX",
    "trusted-host": "PIP_TRUSTED_HOST",
    "cert": "PIP_CERT",
    "timeout": "PIP_DEFAULT_TIMEOUT",
}
_TO_UV = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_NO_INDEX": "UV_NO_INDEX",
    "PIP_TRUSTED_HOST": "UV_INSECURE_HOST",
    "PIP_CERT": "SSL_CERT_FILE",
    "PIP_DEFAULT_TIMEOUT": "UV_HTTP_TIMEOUT",
}
_BY_COMMAS = ("UV_FIND_LINKS",)
"""uv has commas between several values of these, and pip blanks."""
_OF_PLACES = (
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"),
    *("UV_FIND_LINKS", "UV_NO_INDEX"),
)
"""Variables of whoever has told uv itself where packages come from."""


def files(environ: Mapping[str, str]) -> list[Path]:
    """Where pip looks for its settings, the ones that count most at the end."""
    home = environ.get("HOME", "/nowhere")
    config = environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    named = environ.get("PIP_CONFIG_FILE")
    places = ["/etc/xdg/pip/pip.conf", "/etc/pip.conf"]
    places += [f"{home}/.pip/pip.conf", f"{config}/pip/pip.conf", *([named] if named else [])]
    return [Path(place) for place in places]


def told(environ: Mapping[str, str]) -> dict[str, str]:
    """Where packages come from, as the variables of pip say it."""
    found: dict[str, str] = {}
    for file in files(environ):
        found |= _read(file)
    return found | {name: environ[name] for name in _TO_UV if name in environ}


def for_uv(environ: Mapping[str, str]) -> dict[str, str]:
    """The same for uv; nothing where uv was told by itself."""
    if any(name in environ for name in _OF_PLACES) or _has_own_file(environ):
        return {}
    values = {_TO_UV[name]: " ".join(value.split()) for name, value in told(environ).items()}
    values |= {name: values[name].replace(" ", ",") for name in _BY_COMMAS if name in values}
    return {name: value for name, value in values.items() if value and name not in environ}


def _has_own_file(environ: Mapping[str, str]) -> bool:
    config = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME', '/nowhere')}/.config"
    named = environ.get("UV_CONFIG_FILE")
    return bool(named) or any(
        Path(place).exists() for place in ("/etc/uv/uv.toml", f"{config}/uv/uv.toml")
    )


def is_set_up(prefix: str) -> bool:
    """Whether pip was told anything, also by the installation with this prefix."""
    if any(name.startswith("PIP_") for name in os.environ):
        return True
    return any(file.exists() for file in [*files(os.environ), Path(prefix, "pip.conf")])


def _read(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (OSError, configparser.Error, UnicodeDecodeError):
        return {}  # pip itself would complain of it
    sections = [section for section in ("global", "install") if parser.has_section(section)]
    return {
        _FIELDS[field]: value
        for section in sections
        for field, value in parser.items(section)
        if field in _FIELDS
    }
