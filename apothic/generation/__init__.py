"""liv: functions whose bodies are generated from their stubs, and frozen before they run.

    stub --> identity --> frozen module of the project? --> cache? --> model --> checks --> trials
                                  ^                                                          |
                                  +---------- written once, shipped and run as any ----------+

What is generated is never run in this process before it is frozen: `checks` reads it, `trials` runs
it in a locked sandbox.
"""
