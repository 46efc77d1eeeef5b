"""Conversion of configurations of REINVENT 4 to campaigns.

``convert_reinvent`` is the only public function. ``reading`` reads tables whose keys may be wrong, ``transforms`` and
``components`` convert the scoring, ``sections`` converts the other tables, ``accepted`` leaves out components and
filters that ``config check`` refuses, and ``toml_text`` writes the result.
"""
