"""The sections of the report, each a function of a ``Context``.

The modules are on the runs, their progress, their molecules, the diversity of these, and the costs of scores.
"""
