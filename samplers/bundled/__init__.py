"""Policies shipped with the project, one a folder."""
