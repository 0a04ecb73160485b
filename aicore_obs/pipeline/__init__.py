"""This package is where it is said how a record travels: journal, writer, processors, delivery, dead letters."""
