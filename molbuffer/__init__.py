"""molbuffer."""
