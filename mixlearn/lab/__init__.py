"""The laboratory: data, networks, training, run records, and mixing inside loops and loaders."""
