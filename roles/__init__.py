"""One module a role: nurseries and wiring, no rules."""

from roles.lean import postpone

# Trio imports both for TLS and DTLS, which nobody here speaks, and with them OpenSSL.
postpone("hmac", "ssl")
