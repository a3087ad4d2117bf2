"""Images made by hand, and strategies for some that no assembler makes."""

from hypothesis import strategies as st

from vm import modules
from vm.assembler import assemble
from vm.opcodes import FORMS
from vm.program import IMAGE_LIMIT

RET = b"\x10\x00"
END = b"\xff\x00"


def image(*parts: bytes, table: bytes = b"") -> bytes:
    return b"pn" + b"".join(parts) + END + table


def word(value: int) -> bytes:
    return value.to_bytes(4)


@st.composite
def images(draw: st.DrawFn) -> bytes:
    """Instructions with legal types, and operands that are often in range."""
    forms = draw(st.lists(st.sampled_from(sorted(FORMS)), max_size=12))
    size = 2 + sum(2 + 4 * len(FORMS[form].types) for form in forms)
    operand = st.one_of(
        st.integers(0, 15), st.integers(2, size), st.integers(size, size + 12), st.integers(0, 2**32 - 1)
    )
    parts = []
    for form in forms:
        parts.append(form.to_bytes(2))
        parts += [word(draw(operand)) if kind != 4 else b"x\0" for kind in FORMS[form].types]
    return image(*parts, table=b"a\0%[b]s\0info\0")


GOOD = assemble("#include mesh\nfn main call mesh.show.fact try f ret fn f bail 3", "good.pn", modules.find)
"""One that is in order."""

LARGE = (IMAGE_LIMIT - 1_000) // 10 * 10
LARGE_IMAGES = {
    "many instructions": image(b"\x00\x00" * (LARGE // 2)),
    "many constants": image(*[b"\x03\x21" + word(0) + word(n) for n in range(LARGE // 10)]),
    "many strings": image(RET, table=b"\0" * LARGE),
    "one long string, many uses": image(
        *[b"\x1c\x30" + word(2 + 6 * (LARGE // 12) + 2)] * (LARGE // 12), table=b"x" * (LARGE // 2) + b"\0"
    ),
    "many annotations": image(*[b"\x08\x14" + word(1) + b"\0"] * (LARGE // 8)),
}
