"""The rules of the mesh. Pure: no Trio, no socket, no clock, no randomness."""
