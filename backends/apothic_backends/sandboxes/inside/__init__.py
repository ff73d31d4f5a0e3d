"""What runs with a guest's programs: the first process of its namespaces, which starts the others.

It runs in an interpreter without `site`, and may import nothing but light parts of the standard
library: each millisecond here is one that every new sandbox takes.
"""

from __future__ import annotations
