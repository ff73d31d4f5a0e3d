"""The contract between programs and the places where they run; imports nobody.

`base` says what a backend does, `commands` is the one list of what can be asked of it,
`model` holds the values that travel, `registry` finds the backend that a name stands for.
"""

from __future__ import annotations
