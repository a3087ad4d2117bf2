"""The version of cw, alone so that anything may import it at no cost."""

VERSION = "0.1.0"
