"""The steps, one file each, all of one shape.

This file imports none of them: a step's fingerprint must not hold the others.
"""
