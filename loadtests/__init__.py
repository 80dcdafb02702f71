"""What is measured, against what: each module is one command, and prints ratios against peers of the same run."""
