"""A file a job type (read, call the engine, write), beside what several of them share."""
