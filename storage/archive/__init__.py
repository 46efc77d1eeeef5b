"""An archive: the chosen rows of one snapshot as plain files, made, checked, read and merged."""
