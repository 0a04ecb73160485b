"""This package is where providers are described, one file each: how to read a request, a response, its usage."""
