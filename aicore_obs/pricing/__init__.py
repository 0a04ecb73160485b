"""This package is where usage becomes money: price rows, the layers of the price book, the arithmetic of one cost."""
