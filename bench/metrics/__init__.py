"""Pure functions of arrays: outputs in, numbers out."""
