"""The process that runs a job."""
