"""What tests run on: fresh control planes with a clock of their own, events, faults and leaks."""

from __future__ import annotations
