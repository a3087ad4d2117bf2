"""Bytes: records, Noise, the codec. Pure: no socket, no clock, no randomness."""
