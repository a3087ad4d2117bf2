import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.addresses import Address, AddressError, dialled, is_host_name, listening

GOOD = [
    ("broker.example.com:2315", Address("broker.example.com", 2315)),
    ("localhost:1", Address("localhost", 1)),
    ("127.0.0.1:65535", Address("127.0.0.1", 65535)),
    ("[::1]:2315", Address("::1", 2315)),
    ("[fe80::1%eth0]:2315", Address("fe80::1%eth0", 2315)),
]
BAD = [
    "", ":", "2315", ":2315", "host", "host:", "host:x", "host:-1", "host:65536",
    "host:99999999999999999999", "host: 1",
    " host:1", "host:1 ", "host:1\n", "ho st:1", "::1:2315",
    "[::1]", "[::1]2315", "[host]:1", "[]:1", "[*]:1", "a..b:1",
    "-a:1", "a-:1", "x" * 64 + ":1", ".".join(["x" * 60] * 5) + ":1", "höst:1", "host:١",
]  # fmt: skip


@pytest.mark.parametrize(("text", "address"), GOOD)
def test_good_addresses(text: str, address: Address) -> None:
    assert dialled(text) == listening(text) == address
    assert str(address) == text


@pytest.mark.parametrize(("text", "address"), [("*:2315", Address("*", 2315)), ("[::]:0", Address("::", 0))])
def test_only_listeners_have_a_wildcard_or_port_zero(text: str, address: Address) -> None:
    assert listening(text) == address
    with pytest.raises(AddressError):
        dialled(f"*:{address.port}")
    with pytest.raises(AddressError):
        dialled(f"{address.host}:0")


@pytest.mark.parametrize("text", BAD)
def test_bad_addresses_are_refused_in_one_line(text: str) -> None:
    for parse in (dialled, listening):
        with pytest.raises(AddressError, match=r"\Aexpected HOST:PORT such as .*, got .*\Z"):
            parse(text)


@given(st.text())
def test_any_text_is_an_address_or_an_address_error(text: str) -> None:
    try:
        address = listening(text)
    except AddressError:
        return
    assert listening(str(address)) == address


@given(st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z0-9-]{1,20}){0,3}", fullmatch=True))
def test_a_host_name_is_labels_without_outer_hyphens(name: str) -> None:
    labels = name.split(".")
    assert is_host_name(name) == all(label.strip("-") == label for label in labels)
