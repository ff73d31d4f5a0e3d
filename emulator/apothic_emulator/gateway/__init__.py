"""Connections to services whose processes are on agents: taken here, passed on byte by byte.

    client ──► listener ──► Link ══ stream, dialled by the agent ══► process of the service

A stream is for one connection. The agent that dials it hands it to a process as it is, in which it
is a connection like any other; so nobody but the gateway touches what is said.
"""
