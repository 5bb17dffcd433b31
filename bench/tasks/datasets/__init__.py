"""Datasets on the user's disk: one file per layout, and what reads them once."""
