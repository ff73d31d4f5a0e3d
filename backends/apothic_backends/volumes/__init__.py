"""Volumes on a disk: named files that outlive programs and are shared by them.

    volumes/NAME/
      volume.json        what kind it is, and the host that it is bound to
      HEAD               the number and the digest of the newest manifest; replaced by a rename
      manifests/7        what version 7 has: path -> kind, mode, time, size, content
      objects/ab/cdef…   contents by their hash, never changed once they are there
      trees/7/           version 7 as a folder of hard links, for views to stand on
      views/ID/          what one process has written since; held by a lock on `views/ID/lock`
      staging/           contents on their way in
      incoming/          the same from other machines
      lock               taken to read a version, and alone to put a new one in place

A commit brings contents into `objects`, writes the manifest, and renames a new `HEAD` into place,
each step on the disk before the next one. Whatever kills it in between, the version before is
whole. Standard library only: workers use it, too.

Where the control plane is on another machine the volume is there, too, and `far.py` has a copy of
it in `volumes/.far/ID/`.
"""
