"""The sections of the report, each a function of a ``Context``.

They are what was run, how it went, which molecules came out, how varied these are, and what it took.
"""
