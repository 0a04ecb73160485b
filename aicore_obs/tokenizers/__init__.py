"""This package is where tokens are counted by OpenAI's vocabularies, with what is installed and without the network."""
