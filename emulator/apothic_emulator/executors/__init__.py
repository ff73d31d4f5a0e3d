"""The programs on the far side: the zygote that forks executors, and the executor itself.

They import the standard library and cloudpickle only, so that they start fast and run wherever
there is a Python. Everything above them treats what they say as unproven.
"""

from __future__ import annotations
