"""Releases over the air: onto devices, on trial there, and which run where."""
