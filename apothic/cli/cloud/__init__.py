"""What `apothic cloud` and `apothic offer` do: a module for each command, and what they share.

    commands ──► up ──► profile (which control plane), image (what runs), machine (what it is)
             ──► down, status, sweep, offers ──► providers (whose keys are here)

Everything that costs money is asked about first, and looked at afterwards.
"""
