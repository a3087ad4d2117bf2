"""The constant image of each verb, made once from the module of its function (protocol.md "A request" 3)."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from mesh.command import Verb
from vm import modules
from vm.assembler import assemble
from vm.effects import effect_of
from vm.opcodes import Effect
from vm.verifier import Program, verify

VERSIONS = dict.fromkeys(
    ("mesh", "mesh.account", "mesh.exec", "mesh.file", "mesh.package", "mesh.service"), 1
)
"""Of each module. It rises with every change of the module: nodes that have the same version of it insist
on the same bytes."""


NAMES = frozenset(f"{module}/{version}" for module, version in VERSIONS.items())
"""What COMMANDs call the modules that ship with this cw."""


class VerbImage(NamedTuple):
    """What a verb runs, the same for every user and all words."""

    image: bytes
    program: Program
    effect: Effect
    module: str
    """The module and its version, `mesh/1`."""


@cache
def image_of(verb: Verb) -> VerbImage:
    """The image of a verb: `main` only calls its function, which finds the arguments on the data stack."""
    image = assemble(main_of(verb.module, verb.function), verb.name, modules.find)
    program = verify(image)
    return VerbImage(image, program, effect_of(program), f"{verb.module}/{VERSIONS[verb.module]}")


def main_of(module: str, function: str) -> str:
    """The source of the program that is one function of a module."""
    return f"#include {module}\nfn main\n  call {function}\n  ret\n"
