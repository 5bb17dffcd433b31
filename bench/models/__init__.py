"""Networks and how they are trained; `stacked` turns many into one."""
