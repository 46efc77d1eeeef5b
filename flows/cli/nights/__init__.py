"""Commands for the nights: ``deploy`` and ``serve``."""
