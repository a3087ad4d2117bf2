"""One module a role: nurseries and wiring, no rules."""

from roles.lean import postpone, postpone_search

# Trio imports ssl and hmac for TLS and DTLS, which nobody here speaks, and with them OpenSSL; idna for names
# that nobody writes; subprocess for what some agents do. pathlib brings ipaddress.
postpone("hmac", "idna", "ipaddress", "ssl", "subprocess")
postpone_search()
