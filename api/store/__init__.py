"""The relational store of what people decide: rules, and what else the API changes. Only the API process opens it."""
