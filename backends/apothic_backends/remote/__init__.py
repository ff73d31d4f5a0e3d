"""A control plane that runs elsewhere, behind `APOTHIC_BACKEND=https://...`.

    backend.py     what the SDK sees: commands and tickets
    connection.py  one WebSocket, and what is pending on it: sent again when it comes back
    frames.py      what travels on it; the server has the other end of it
    address.py     which server, and whether a key may be sent there
    profiles.py    keys that were kept by `apothic auth login`
    tickets.py     commands that take two steps here, because a reply may be lost

Nothing here is imported before such a backend is opened.
"""

from __future__ import annotations
