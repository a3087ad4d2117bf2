"""Who somebody is: PAM behind a Protocol, trust databases, key files."""
