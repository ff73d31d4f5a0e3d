"""The control plane as a process of its own: `apothic serve`.

    a request ──► guard ──► routes ──► account ──► Host
                  host, origin,        one core, one namespace of the store and executors of
                  key, scope           its own for each account

Nothing gets past the guard, which is the outermost layer and knows nothing of what lies behind it.
An account is a shard: ids are its own, so those of another do not exist.
"""

from __future__ import annotations
