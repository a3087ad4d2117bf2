"""The real host: what the machine's instructions do to files, accounts, configuration and processes."""
