"""The package and service managers that hosts have, each a row of one table."""
