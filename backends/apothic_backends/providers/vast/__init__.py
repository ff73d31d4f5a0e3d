"""Machines with GPUs from Vast.ai's market: other people's computers, by the second.

Written by the published documents of its API and what others have reported of it. It was never
tried with the real service, only with a server of the tests that behaves like those documents.
"""
