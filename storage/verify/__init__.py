"""Verification: finds what is damaged or lost in a store or an archive, and sets damaged segments aside."""
