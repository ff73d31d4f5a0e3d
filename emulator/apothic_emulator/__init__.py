"""The control plane: one implementation of the contract, at home in the user's process."""

from __future__ import annotations
