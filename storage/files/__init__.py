"""Files and folders, local or in an object store: paths, durable writes and checksums."""
