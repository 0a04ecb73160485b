"""This package is where a provider's export of costs becomes one frame of statement lines, whatever its format."""
