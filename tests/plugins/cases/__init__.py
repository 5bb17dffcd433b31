"""Every method with hyper-parameters that reach all of it, and a second implementation: a module for each kind of methods."""

from cases import classical, edits, first, gradients, recent, winners

CASES = {**first.CASES, **classical.CASES, **edits.CASES, **winners.CASES, **recent.CASES, **gradients.CASES}
