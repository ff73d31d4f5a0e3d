"""Fly Machines: computers without GPUs by the second, in many regions, by one API over HTTP.

Written from that API's documents and from what others have told of it; it was never tried against
the real service. `provider` rents machines; `app` is what `apothic cloud up` needs for a control
plane there; `registry` has images put where Fly finds them.
"""
