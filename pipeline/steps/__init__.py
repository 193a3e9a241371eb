"""One file a verb: read the declared files, call the rooms, write the declared files."""
