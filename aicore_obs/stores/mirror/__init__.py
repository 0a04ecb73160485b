"""This package is where narrow columns of a database are kept once more, as Parquet, always equal to the database."""
