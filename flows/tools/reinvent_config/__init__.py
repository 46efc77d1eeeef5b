"""Conversion of configurations of REINVENT 4 to campaigns.

``convert_reinvent`` is the whole of it. ``reading`` reads tables whose keys may be wrong, ``transforms`` and
``components`` map the scoring, ``sections`` the rest, ``accepted`` leaves out what ``config check`` refuses, and
``toml_text`` writes what came of it.
"""
