"""PromQL: what we take of it, and its evaluation on numpy arrays."""
