"""This package is where SDKs are described: where their calls pass, and how their answers come."""
