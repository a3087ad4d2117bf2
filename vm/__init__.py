"""Pendulum: the table of instructions, the machine, the assembler, the verifier. Pure."""
