"""What makes the bench's cells: peers' networks, files in every form, and our own searches."""
