"""This package is where whole records go from one place into a store, without a journal between."""
