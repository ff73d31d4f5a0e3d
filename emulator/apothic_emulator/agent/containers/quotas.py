"""A quota for all that a container writes to its own disk, where Docker's storage can keep one.

Docker says that overlay2 over XFS with `pquota` can, and few others. Other daemons refuse to
create such a container; then each file is limited, as in a process. Volumes and memory under
`/dev/shm` are not counted.
"""

from __future__ import annotations

from typing import Any

_ABOUT = ("storage-opt", "storage opt", "quota")
"""What the daemon speaks of when it cannot keep one."""


def create(
    client: Any, what: dict[str, Any], how: dict[str, Any], disk_gb: float
) -> tuple[str, str]:
    """Create a container, with a quota if one is asked for and can be had.

    Gives its id, and what keeps `disk_gb`: "quota", "file", or nothing if it is 0.

    Raises:
        docker.errors.APIError: it cannot be created.
    """
    import docker.errors  # noqa: PLC0415 - slow to import, and an extra

    if not disk_gb:
        return _create(client, what, how), ""
    quota = {"storage_opt": {"size": str(int(disk_gb * 1e9))}}
    try:
        return _create(client, what, how | quota), "quota"
    except docker.errors.APIError as error:
        if not any(words in str(error).lower() for words in _ABOUT):
            raise
    return _create(client, what, how), "file"


def _create(client: Any, what: dict[str, Any], how: dict[str, Any]) -> str:
    made = client.create_container(**what, host_config=client.create_host_config(**how))
    return str(made["Id"])
