"""Changes of a model that a person asks for: the same engine as the automated moves, without a judge."""
