"""Docker's containers and images: what sandboxes, executors and the command line have in common.

Needs the extra `docker`; nothing here is imported by programs that use none.
"""
