"""What every part of Edgewright shares: the error base class, file and digest helpers, progress.

Imports nothing of the project.
"""

__version__ = "0.1.0"
