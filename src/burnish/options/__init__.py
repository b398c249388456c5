"""One frozen options model a job: flags, recipes, help and records derive from it."""
