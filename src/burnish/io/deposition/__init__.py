"""Files of a deposition: mmCIF categories of model, refinement and experiment, structure factors, maps."""
