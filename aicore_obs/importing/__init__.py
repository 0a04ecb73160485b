"""This package is where what other programs kept is read as records: one small module per format, description only."""
