"""What a cell does: all code that can change a cell's figures, so a digest of this folder is part of each cell's."""
