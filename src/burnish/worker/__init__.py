"""What runs in the processes of workers: tasks named by import path, and the worker itself."""
