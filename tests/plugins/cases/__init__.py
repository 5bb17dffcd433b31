"""Every method with hyper-parameters that reach all of it, and a second implementation: a module for each kind of methods."""

from cases import edits, first

CASES = {**first.CASES, **edits.CASES}
