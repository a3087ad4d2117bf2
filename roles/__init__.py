"""One module a role: nurseries and wiring, no rules. Imported only when chosen."""
