"""The command line: `console.py` has the commands, each other module what one noun of them does."""
