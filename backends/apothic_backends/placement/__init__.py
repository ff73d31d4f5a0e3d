"""Where a function may run: one rule over what machines offer, for markets and for one's own.

`fields` is the table of what can be said of a machine, `conditions` turns options into comparisons
and judges them, `offers` chooses among many offers, `catalogue` has some to plan with. All of it is
pure: no clock, file, socket or process; only the catalogue reads its own data.
"""
