"""Job folders, records and their life."""
