"""What was known at ``as_of``, the contract of every table, and quarantine for the rows that break it."""
