"""A drill: faults put into a running instance, which alert and panel name, and the commands of a runbook mend.

    python -m loadtests.drill [fault …] [--factor 60]

Read `faults.py` first: the table of what is broken, what is to be seen, and which lines of which runbook mend it.
"""
