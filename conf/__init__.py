"""Configuration: schemas, strict loading, and the sample files that users copy."""
