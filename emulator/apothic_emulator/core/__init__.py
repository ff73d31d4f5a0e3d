"""The pure control plane: `Plane.step(inputs, now)` decides, and does nothing else.

No clock, no randomness, no I/O: time and facts are handed in, effects and replies are handed out.
"""

from __future__ import annotations
