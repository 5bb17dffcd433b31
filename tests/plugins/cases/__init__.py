"""Every method with hyper-parameters that reach all of it, and a second implementation: a module for each kind of methods."""

from cases import classical, first

CASES = {**first.CASES, **classical.CASES}
