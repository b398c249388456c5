"""One file a job type: read, call the engine, write."""
