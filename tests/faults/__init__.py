"""The fault matrix: real processes and servers are broken on purpose, and the outcome is compared with an oracle."""
