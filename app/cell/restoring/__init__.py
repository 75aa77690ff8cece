"""Puts a cell's files back: staged beside the cell, compared with it, swapped in by rename, undone where that fails."""
