"""Executors in containers: what a container of one has, how it is started, and how it ends."""
