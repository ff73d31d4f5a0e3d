"""Buckets of object stores that speak S3, and directories in their place, seen as files."""

from __future__ import annotations
