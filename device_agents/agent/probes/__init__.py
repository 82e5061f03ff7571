"""The device's sensors, one file per family: pure parsers of what programs print, and readers of files."""
