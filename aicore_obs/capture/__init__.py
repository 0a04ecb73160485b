"""This package is where what a caller hands over becomes the bytes of a record, on the caller's own thread."""
