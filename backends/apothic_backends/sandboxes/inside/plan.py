"""What a guest is to be, as told to its first process."""

from __future__ import annotations

NAMESPACES = "namespaces"
CONTAINER = "container"
LIMITS = "limits"

WORKSPACE = "/workspace"


class Plan:
    """How to start a guest; `from_texts` is the way back from `texts`."""

    def __init__(
        self,
        *,
        level: str,
        workspace: str,
        token: str,
        has_network: bool = False,
        uid: int = -1,
        memory_mb: int = 0,
        pids: int = 0,
        scratch_mb: int = 64,
        cores: str = "",
        shown: list[tuple[str, str]] | None = None,
        binds: list[tuple[str, str, bool]] | None = None,
    ) -> None:
        self.level = level
        self.workspace = workspace
        self.token = token
        """Marks its processes, in their environment."""
        self.has_network = has_network
        self.uid = uid
        """Who it is outside, if this process is root there; -1 for the user of this process."""
        self.memory_mb = memory_mb
        """What each process may have; 0 for any."""
        self.pids = pids
        """How many processes there may be."""
        self.scratch_mb = scratch_mb
        """How much `/tmp` takes."""
        self.cores = cores
        """Numbers of the cores that it may use, with commas between; "" for all."""
        self.shown = shown or []
        """Where files of this machine lie that may be read, and at which path."""
        self.binds = binds or []
        """As `shown`, and whether it may be written."""

    def texts(self) -> list[str]:
        """It, as texts without NUL."""
        head = [self.level, self.workspace, self.token, self.cores]
        numbers = (self.has_network, self.uid, self.memory_mb, self.pids, self.scratch_mb)
        body = [text for pair in self.shown for text in pair]
        tail = [
            text
            for source, target, is_writable in self.binds
            for text in (source, target, str(int(is_writable)))
        ]
        return [*head, *[str(int(n)) for n in numbers], str(len(self.shown)), *body, *tail]

    @classmethod
    def from_texts(cls, texts: list[str]) -> Plan:
        """What `texts` told."""
        level, workspace, token, cores = texts[:4]
        network, uid, memory_mb, pids, scratch_mb, count = map(int, texts[4:10])
        shown, tail = texts[10 : 10 + 2 * count], texts[10 + 2 * count :]
        return cls(
            level=level,
            workspace=workspace,
            token=token,
            cores=cores,
            has_network=bool(network),
            uid=uid,
            memory_mb=memory_mb,
            pids=pids,
            scratch_mb=scratch_mb,
            shown=list(zip(shown[::2], shown[1::2], strict=True)),
            binds=[
                (source, target, flag == "1")
                for source, target, flag in zip(tail[::3], tail[1::3], tail[2::3], strict=True)
            ],
        )
