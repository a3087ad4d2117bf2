"""Answers of nodes for tests of what a client prints, hostile ones among them."""

from collections.abc import Sequence

from hypothesis import strategies as st

from mesh import printing
from mesh.formats import printer
from mesh.formats.look import Look
from mesh.printing import Answer

UUID = "3f2b8c1e-0000-4000-8000-000000000001"

PLAIN = Look()
SCREEN = Look(columns=60, colours=True)


def ran(
    output: bytes = b"",
    status: int = 0,
    *,
    fqdn: str = "web01.example.com",
    error_output: bytes = b"",
    truncated: bool = False,
) -> Answer:
    """A node that ran the command, in a quarter of a second."""
    outcome = printing.FAILED if status else printing.OK
    return Answer(UUID, fqdn, outcome, status, output, error_output, truncated, 0.25)


def closed(outcome: str, fqdn: str = "web01.example.com") -> Answer:
    """A node that did not run it."""
    return Answer(UUID, fqdn, outcome)


def answers() -> st.SearchStrategy[list[Answer]]:
    """Several, of whatever outcome and with whatever bytes."""
    byte = st.one_of(
        st.binary(max_size=20),
        st.text(max_size=20).map(str.encode),
        st.sampled_from(
            [b"\x1b[2J", b"\0", b"\r\n", b"]]>", b"<a>&amp;", b"a=1\nb=2\n", b"\xff\xfe", b"'\"\\"]
        ),
    )
    name = st.sampled_from(["web01.example.com", "web2.example.com", "db", "n10-4"])
    did = st.builds(
        lambda output, status, fqdn, error, cut: ran(
            output, status, fqdn=fqdn, error_output=error, truncated=cut
        ),
        st.lists(byte, max_size=4).map(b"".join),
        st.sampled_from([0, 0, 1, 2**32 - 1]),
        name,
        byte,
        st.booleans(),
    )
    did_not = st.builds(closed, st.sampled_from([*printing.COUNTED]), name)
    return st.lists(st.one_of(did, did, did_not), max_size=6)


def printed(form: str, said: Sequence[Answer], look: Look = PLAIN, at_once: int = 2) -> str:
    """What a client prints of these, when so many come at once."""
    texts: list[str] = []
    chosen = printer(form, look, texts.append)
    for begin in range(0, len(said), at_once):
        chosen.print(said[begin : begin + at_once])
    chosen.close()
    return "".join(texts)
