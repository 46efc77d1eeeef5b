"""The sections of the report, each a function of a ``Context``.

The modules are on the runs, their progress, their molecules, and the costs of scores.
"""
