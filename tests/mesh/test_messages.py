import hashlib
import operator
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.messages import (
    MAX_IMAGE,
    MAX_OUTPUT,
    REPORTS,
    VERSION,
    Bye,
    Cancel,
    Command,
    Denied,
    Done,
    Error,
    Expired,
    Hello,
    Identity,
    KeyAuth,
    Kind,
    Lost,
    Message,
    MessageError,
    NoAuth,
    Ok,
    Optin,
    Optout,
    PasswordAuth,
    Ping,
    Pong,
    Request,
    Result,
    Side,
    Silent,
    VersionUnknown,
    Welcome,
    decode,
    decode_report,
    encode,
    encode_identity,
    is_host_name,
    is_uuid,
    kind_of,
    relay,
    serial_of,
    to_sign,
)
from wire.transport import MAX_FROM_AGENT, MAX_MESSAGE, MAX_UNAUTHENTICATED

UUID = "01234567-89ab-cdef-0123-456789abcdef"
WEB = Identity("web01.example.com", UUID)
KEY = KeyAuth("0f" * 32, b"n" * 32, b"s" * 64)
HASH = b"h" * 32

names = st.text(max_size=60)
milliseconds = st.integers(0, 2**53)
counts = st.integers(0, 2**32 - 1)
texts = st.lists(names, max_size=5).map(tuple)
labels = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?", fullmatch=True)
host_names = st.lists(labels, min_size=1, max_size=3).map(".".join).filter(lambda name: len(name) <= 253)
uuids = st.uuids().map(str)
targets = st.none() | st.lists(uuids, max_size=4).map(tuple)
modes = st.sampled_from(["run", "plan"])
auths = st.one_of(
    st.builds(
        KeyAuth,
        public=st.binary(min_size=32, max_size=32).map(bytes.hex),
        nonce=st.binary(min_size=32, max_size=32),
        signature=st.just(b"") | st.binary(min_size=64, max_size=64),
    ),
    st.builds(PasswordAuth, names),
    st.just(NoAuth()),
)
requests = st.builds(
    Request,
    st.just(VERSION),
    names,
    auths,
    texts,
    texts,
    modes,
    targets,
    milliseconds,
    milliseconds,
    st.booleans(),
)
commands = st.builds(
    Command,
    names,
    texts,
    names,
    texts,
    st.lists(st.integers(0, 1023), max_size=5).map(tuple),
    names,
    st.binary(max_size=300),
    texts,
    modes,
    targets,
    milliseconds,
    milliseconds,
    milliseconds,
)
results = st.builds(
    Result, counts, st.binary(max_size=300), st.binary(max_size=300), st.booleans(), milliseconds
)

# Who may send what: all of protocol.md "Messages".
MESSAGES: dict[tuple[Side, Kind], st.SearchStrategy[Any]] = {
    (Side.AGENT, Kind.HELLO): st.builds(Hello, st.integers(1, 65535), names, host_names, uuids),
    (Side.BROKER, Kind.HELLO): st.builds(Welcome, st.integers(1, 65535), names, milliseconds, milliseconds),
    (Side.CLIENT, Kind.REQUEST): requests,
    (Side.BROKER, Kind.OK): st.builds(Ok, counts),
    (Side.BROKER, Kind.ERROR): st.builds(Error, st.text(max_size=8), names),
    (Side.BROKER, Kind.COMMAND): commands,
    (Side.AGENT, Kind.OPTIN): st.just(Optin()),
    (Side.AGENT, Kind.OPTOUT): st.just(Optout()),
    (Side.AGENT, Kind.DENIED): st.just(Denied()),
    (Side.AGENT, Kind.EXPIRED): st.just(Expired()),
    (Side.AGENT, Kind.RESULT): results,
    (Side.BROKER, Kind.DONE): st.builds(Done, *[counts] * 7),
    (Side.BROKER, Kind.CANCEL): st.just(Cancel()),
    (Side.CLIENT, Kind.CANCEL): st.just(Cancel()),
    (Side.CLIENT, Kind.BYE): st.just(Bye()),
    (Side.BROKER, Kind.PING): st.builds(Ping, milliseconds),
    (Side.AGENT, Kind.PONG): st.builds(Pong, milliseconds),
    (Side.CLIENT, Kind.PONG): st.builds(Pong, milliseconds),
}
WITHOUT_SERIAL = {Kind.HELLO, Kind.REQUEST, Kind.PING, Kind.PONG}
REPORT_MESSAGES: dict[Kind, st.SearchStrategy[Any]] = {
    **{
        kind: strategy
        for (side, kind), strategy in MESSAGES.items()
        if side is Side.AGENT and kind in REPORTS
    },
    Kind.LOST: st.just(Lost()),
    Kind.SILENT: st.just(Silent()),
}

sent = st.sampled_from(sorted(MESSAGES)).flatmap(
    lambda row: st.tuples(st.just(row[0]), st.just(row[1]), MESSAGES[row])
)
reported = st.sampled_from(sorted(REPORT_MESSAGES)).flatmap(
    lambda kind: st.tuples(st.just(kind), REPORT_MESSAGES[kind])
)
serials = st.integers(0, 2**64 - 1)


def same(one: Message | None, other: Message | None) -> bool:
    """Named tuples of two types may be equal; messages may not."""
    return type(one) is type(other) and one == other


def request(**changes: Any) -> Request:
    ordinary = Request(VERSION, "alice", KEY, ("show", "version"), (), "run", None, 40_000, 0, False)
    return ordinary._replace(**changes)


def command(**changes: Any) -> Command:
    ordinary = Command(
        "alice", ("ops",), "key", ("ping",), (), "mesh/1", b"image", (), "run", None, 1_000, 40_000, 0
    )
    return ordinary._replace(**changes)


def result(**changes: Any) -> Result:
    return Result(0, b"pong\n", b"", False, 1234)._replace(**changes)


@given(sent, serials)
def test_what_is_encoded_is_decoded(message: tuple[Side, Kind, Message], serial: int) -> None:
    sender, kind, said = message
    if kind in WITHOUT_SERIAL:
        serial = 0
    raw = encode(said, serial)
    assert (kind_of(raw), serial_of(raw)) == (kind, serial)
    got, heard = decode(sender, raw)
    assert got == serial
    assert same(heard, said)


@given(sent)
def test_bodies_are_messagepack_arrays_of_the_fields(message: tuple[Side, Kind, Message]) -> None:
    body = encode(message[2])[9:]
    said = message[2]
    if isinstance(said, Request):
        auth = msgpack.unpackb(body)[2]
        tag = {KeyAuth: "key", PasswordAuth: "password", NoAuth: "none"}[type(said.auth)]
        assert auth == [tag, *said.auth]
    elif len(said):
        assert body == msgpack.packb(said)
    else:
        assert body == b""


@given(reported, serials)
def test_what_is_relayed_is_heard_of_the_node(report: tuple[Kind, Message], serial: int) -> None:
    kind, said = report
    got, heard_kind, identity, heard = decode_report(relay(encode(said, serial), encode_identity(WEB)))
    assert (got, heard_kind, identity) == (serial, kind, WEB)
    assert same(heard, said)


def test_only_a_sides_own_messages_are_taken_from_it() -> None:
    for sender in Side:
        for kind in Kind:
            raw = bytes((kind,)) + bytes(8)
            if (sender, kind) not in MESSAGES:
                with pytest.raises(MessageError, match=rf"^{kind.name}: not for the {sender.name.lower()}"):
                    decode(sender, raw)
            if kind not in REPORTS:
                with pytest.raises(MessageError, match=rf"^{kind.name}: is not about a node"):
                    decode_report(raw)
    assert set(REPORT_MESSAGES) == REPORTS


def test_the_first_byte_and_the_serial_are_where_the_protocol_says() -> None:
    raw = encode(Ok(3), 0x0102030405060708)
    assert raw == b"\x03" + bytes(range(1, 9)) + b"\x91\x03"


@pytest.mark.parametrize(
    "raw", [b"", b"\x0a", b"\x0a" + bytes(7), b"\0" * 9, b"\x12" + bytes(8), b"\xff" * 9]
)
def test_what_has_no_header_or_no_kind_is_refused(raw: bytes) -> None:
    for read in (kind_of, decode_report, lambda raw: decode(Side.AGENT, raw)):
        with pytest.raises(MessageError):
            read(raw)


@pytest.mark.parametrize(
    ("sender", "said"),
    [
        (Side.AGENT, Hello(VERSION, "0.1.0", *WEB)),
        (Side.CLIENT, request()),
        (Side.BROKER, Ping(5)),
        (Side.AGENT, Pong(5)),
    ],
)
def test_a_serial_that_means_nothing_is_zero(sender: Side, said: Message) -> None:
    with pytest.raises(MessageError, match="no serial"):
        encode(said, 1)
    raw = encode(said)
    with pytest.raises(MessageError, match="no serial"):
        decode(sender, raw[:8] + b"\1" + raw[9:])


@given(sent, st.data())
def test_cuts_and_trailing_bytes_are_refused(
    message: tuple[Side, Kind, Message], draw: st.DataObject
) -> None:
    sender, _, said = message
    raw = encode(said)
    with pytest.raises(MessageError):
        decode(sender, raw + b"\0")
    with pytest.raises(MessageError):
        decode(sender, raw[: draw.draw(st.integers(0, len(raw) - 1))])


@given(st.sampled_from(list(Side)), st.sampled_from(list(Kind)), st.binary(max_size=80))
def test_random_bodies_raise_declared_errors_or_are_canonical(sender: Side, kind: Kind, body: bytes) -> None:
    raw = bytes((kind,)) + bytes(8) + body
    check_canonical(sender, raw)
    if kind in REPORTS:
        with pytest.raises(MessageError):
            decode_report(raw)
        _, _, identity, heard = decode_report(relay(raw, encode_identity(WEB)))
        assert identity == WEB
        assert heard is None or encode(heard) == raw


def check_canonical(sender: Side, raw: bytes) -> None:
    try:
        serial, heard = decode(sender, raw)
    except MessageError as error:
        sentence = str(error)
    else:
        assert encode(heard, serial) == raw
        return
    assert sentence.isprintable()
    assert len(sentence) < 200


def test_every_flipped_bit_gives_another_message_or_a_declared_error() -> None:
    whole = [
        (Side.CLIENT, encode(request(targets=(UUID,), filters=("role=web",)))),
        (Side.BROKER, encode(command(targets=(UUID,)), 2**40)),
        (Side.AGENT, encode(result(error_output=b"oops"), 2**40)),
        (Side.AGENT, encode(Hello(VERSION, "0.1.0", *WEB))),
    ]
    for sender, raw in whole:
        for bit in range(len(raw) * 8):
            check_canonical(sender, (int.from_bytes(raw, "big") ^ 1 << bit).to_bytes(len(raw), "big"))


def test_a_body_that_a_client_cannot_read_is_the_nodes_and_a_wrong_identity_the_brokers() -> None:
    identity = encode_identity(WEB)
    for raw in (encode(result(), 7) + b"\0", encode(Optin(), 7) + b"\0", encode(result(), 7)[:-1]):
        assert decode_report(relay(raw, identity)) == (7, kind_of(raw), WEB, None)
    for wrong in (
        identity[:-1],
        b"\0" + identity,
        b"",
        msgpack.packb(["-", UUID]),
        msgpack.packb(["a", "b"]),
    ):
        with pytest.raises(MessageError, match=r"^RESULT: identity: "):
            decode_report(relay(encode(result(), 7), wrong))


def test_what_an_agent_may_send_is_still_one_message_behind_the_longest_identity() -> None:
    longest = encode_identity(Identity(".".join(["x" * 63] * 3 + ["y" * 61]), UUID))
    fullest = encode(result(output=bytes(MAX_OUTPUT - 100), error_output=bytes(100)), 2**64 - 1)
    assert len(fullest) <= MAX_FROM_AGENT
    assert MAX_FROM_AGENT + len(longest) <= MAX_MESSAGE
    with pytest.raises(MessageError, match=r"^RESULT: "):
        encode(result(output=bytes(MAX_OUTPUT), error_output=bytes(1024)))


BOUNDS: list[tuple[Side, Message, Message]] = [
    (Side.CLIENT, request(user="u" * 255), request(user="u" * 256)),
    (Side.CLIENT, request(words=("w",) * 1024), request(words=("w",) * 1025)),
    (Side.CLIENT, request(words=("w" * 100_000,)), request(words=("w" * MAX_UNAUTHENTICATED,))),
    (Side.CLIENT, request(filters=("f",) * 64), request(filters=("f",) * 65)),
    (Side.CLIENT, request(filters=("f" * 4096,)), request(filters=("f" * 4097,))),
    (Side.CLIENT, request(targets=(UUID,) * 3000), request(targets=(UUID,) * 4000)),
    (Side.CLIENT, request(targets=(UUID,)), request(targets=(UUID.upper(),))),
    (Side.CLIENT, request(mode="plan"), request(mode="walk")),
    (Side.CLIENT, request(timeout=2**53), request(timeout=2**53 + 1)),
    (Side.CLIENT, request(optouts=True), request(optouts=1)),
    (Side.CLIENT, request(version=1), request(version=0)),
    (Side.CLIENT, request(auth=KEY), request(auth=KEY._replace(public="0F" * 32))),
    (Side.CLIENT, request(auth=KEY), request(auth=KEY._replace(public="0f" * 31))),
    (Side.CLIENT, request(auth=KEY), request(auth=KEY._replace(nonce=b"n" * 31))),
    (Side.CLIENT, request(auth=KEY._replace(signature=b"")), request(auth=KEY._replace(signature=b"s"))),
    (Side.CLIENT, request(auth=PasswordAuth("p" * 4096)), request(auth=PasswordAuth("p" * 4097))),
    (Side.BROKER, command(groups=("g",) * 1024), command(groups=("g",) * 1025)),
    (Side.BROKER, command(arguments=(0, 1023)), command(arguments=(0, 1024))),
    (Side.BROKER, command(arguments=(0,) * 1024), command(arguments=(0,) * 1025)),
    (Side.BROKER, command(image=bytes(MAX_IMAGE)), command(image=bytes(MAX_IMAGE + 1))),
    (Side.BROKER, Error("busy", "x" * 16384), Error("busy", "x" * 16385)),
    (Side.AGENT, result(status=2**32 - 1), result(status=2**32)),
    (Side.AGENT, result(status=0), result(status=-1)),
    (Side.AGENT, result(output=bytes(MAX_OUTPUT)), result(output=bytes(MAX_OUTPUT + 1))),
    (Side.AGENT, Hello(1, "0.1.0", "a" * 63, UUID), Hello(1, "0.1.0", "a" * 64, UUID)),
]


@pytest.mark.parametrize(("sender", "within", "beyond"), BOUNDS, ids=range(len(BOUNDS)))
def test_bounds_hold_for_who_writes_and_for_who_reads(sender: Side, within: Message, beyond: Message) -> None:
    raw = encode(within)
    assert same(decode(sender, raw)[1], within)
    with pytest.raises(MessageError):
        encode(beyond)
    with pytest.raises(MessageError):
        decode(sender, raw[:9] + msgpack.packb(plain(beyond)))


def plain(value: Any) -> Any:
    tags = {KeyAuth: ["key"], PasswordAuth: ["password"], NoAuth: ["none"]}
    if isinstance(value, tuple):
        return tags.get(type(value), []) + [plain(item) for item in value]
    return value


def test_unknown_ways_to_authenticate_are_refused() -> None:
    fields = plain(request())
    for auth in (["none", 1], ["smile"], [], "none", None, ["key", "0f" * 32, b"n" * 32], ["password"]):
        fields[2] = auth
        with pytest.raises(MessageError, match=r"^REQUEST: auth: "):
            decode(Side.CLIENT, b"\2" + bytes(8) + msgpack.packb(fields))


def test_a_newer_version_that_reads_alike_is_taken_and_another_is_named() -> None:
    hello = Hello(VERSION + 1, "9.9.9", *WEB)
    assert decode(Side.AGENT, encode(hello)) == (0, hello)
    raw = encode(hello)[:9] + msgpack.packb([*hello, "a field of tomorrow"])
    with pytest.raises(VersionUnknown, match=rf"version {VERSION + 1} .* {VERSION}$"):
        decode(Side.AGENT, raw)
    older = encode(hello)[:9] + msgpack.packb([VERSION, *hello[1:], "a field of tomorrow"])
    with pytest.raises(MessageError) as refused:
        decode(Side.AGENT, older)
    assert not isinstance(refused.value, VersionUnknown)
    many = [VERSION + 1, *["x"] * 20]
    with pytest.raises(VersionUnknown):
        decode(Side.CLIENT, b"\2" + bytes(8) + msgpack.packb(many))


def test_what_is_signed_is_the_session_and_the_request_without_its_signature() -> None:
    unsigned = request(auth=KEY._replace(signature=b""))
    expected = b"cw/1 request\0" + HASH + hashlib.blake2s(encode(unsigned)[9:]).digest()
    assert to_sign(unsigned, HASH) == to_sign(request(), HASH) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"user": "bob"},
        {"words": ("show", "facts")},
        {"words": ("show version",)},
        {"filters": ("role=web",)},
        {"mode": "plan"},
        {"targets": (UUID,)},
        {"timeout": 1},
        {"run_time": 1},
        {"optouts": True},
        {"auth": KEY._replace(nonce=b"m" * 32)},
        {"auth": KEY._replace(public="0e" * 32)},
    ],
)
def test_every_part_of_a_request_is_signed(changes: dict[str, Any]) -> None:
    assert to_sign(request(**changes), HASH) != to_sign(request(), HASH)


def test_only_a_key_signs_and_only_a_whole_handshake_hash() -> None:
    assert to_sign(request(), b"i" * 32) != to_sign(request(), HASH)
    for said, handshake_hash in ((request(auth=NoAuth()), HASH), (request(), HASH[:-1])):
        with pytest.raises(MessageError):
            to_sign(said, handshake_hash)


def test_a_password_is_never_shown() -> None:
    said = request(auth=PasswordAuth("hunter2"))
    assert "hunter2" not in repr(said)
    with pytest.raises(MessageError) as refused:
        encode(request(auth=PasswordAuth("hunter2" * 1000)))
    assert "hunter2" not in str(refused.value)


def test_messages_without_fields_differ_and_are_true() -> None:
    bare = [Optin(), Optout(), Denied(), Expired(), Lost(), Silent(), Cancel(), Bye(), NoAuth()]
    for one in bare:
        assert one
        assert repr(one) == f"{type(one).__name__}()"
        assert [other for other in bare if one == other] == [one]
        assert [other for other in bare if operator.ne(one, other)] == [
            other for other in bare if other is not one
        ]
    assert len(set(bare)) == len(bare)


HOSTS = ["a", "web01", "web01.example.com", "1.2.3.4", "a-b.c--d", "A.b", "x" * 63, ".".join(["x" * 49] * 5)]
NOT_HOSTS = [
    "",
    ".",
    "a.",
    ".a",
    "a..b",
    "-a",
    "a-",
    "a.-b",
    "a_b",
    "a b",
    "a/b",
    "ü.de",
    "²",
    "a\n",
    "a\0",
    "x" * 64,
]


def test_host_names() -> None:
    assert [name for name in HOSTS if not is_host_name(name)] == []
    assert [name for name in [*NOT_HOSTS, ".".join(["x" * 50] * 5)] if is_host_name(name)] == []


NOT_UUIDS = ["", UUID.upper(), UUID[:-1], UUID + "0", UUID.replace("-", ""), "{" + UUID + "}", "g" + UUID[1:]]


def test_uuids() -> None:
    assert is_uuid(UUID)
    assert [text for text in [*NOT_UUIDS, UUID.replace("-", "_"), "-" * 36] if is_uuid(text)] == []
