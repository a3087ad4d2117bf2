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
    source = f"#include {verb.module}\nfn main\n  call {verb.function}\n  ret\n"
    image = assemble(source, verb.name, modules.find)
    program = verify(image)
    return VerbImage(image, program, effect_of(program), f"{verb.module}/{VERSIONS[verb.module]}")
