"""This package is where the shapes of answers are read, one family each; providers' descriptions name them.

A shape takes raw JSON: one body, or a list of a stream's events. Members stay raw until they are looked at, so that a
body of ten megabytes never becomes Python objects. Whatever it is given, a shape raises nothing: what is not there, or
is of another kind than it should be, is unknown. Names are those of the JSON; where a member is written in two
spellings, the snake one is the field's, and :func:`~aicore_obs.shapes.body.in_camel_case` makes the other.
"""
