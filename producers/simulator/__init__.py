"""A fleet from a seed: hosts with node_exporter's series whose values are a function of seed, host and time."""
