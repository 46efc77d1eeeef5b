"""Files of molecules: reading any format in bounded memory, and drawing each row once an epoch."""
