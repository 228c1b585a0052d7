"""The contract: what two or more stages must agree on, and the pure cores they share."""

__version__ = "0.1.0"
