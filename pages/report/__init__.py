"""The report: one HTML file that says what runs did, for people, without a request to anywhere.

``blocks`` are what a section consists of, ``sections`` makes them of facts, ``report`` puts them together, and ``html``
writes the page from its template, with the style and the scripts inside.
"""
