import pytest

from vm.opcodes import BY_NAME, BY_NUMBER, FORMS, TABLE, Effect
from vm.program import END


def test_the_numbers_are_all_there_and_ours_begin_at_e0() -> None:
    assert [number for number in BY_NUMBER if number < 0xE0] == list(range(0x7D))
    assert sorted(number for number in BY_NUMBER if number > 0x7C) == list(range(0xE0, 0xE6))


def test_a_name_and_its_operands_say_which_row() -> None:
    assert len(BY_NAME) == len(TABLE)
    assert [opcode.name for opcode in BY_NUMBER[0x10]] == ["ret", "retv"]
    assert all(len(rows) == 1 for number, rows in BY_NUMBER.items() if number != 0x10)
    words = [(form.opcode.number, form.types) for form in FORMS.values()]
    assert len(words) == len(set(words))


def test_no_instruction_looks_like_the_end_of_the_code() -> None:
    assert int.from_bytes(END) not in FORMS


NUMBERS = [
    (0x03, "set"), (0x0E, "call"), (0x11, "bail"), (0x13, "lt"), (0x16, "gte"), (0x1F, "syslog"),
    (0x22, "flagged?"), (0x24, "fs.type"), (0x2B, "fs.socket?"), (0x2D, "fs.dev"), (0x38, "fs.ctime"),
    (0x40, "fs.copy"), (0x46, "fs.put"), (0x4E, "authdb.nextgid"), (0x53, "user.delete"),
    (0x5B, "group.kick"), (0x63, "augeas.remove"), (0x66, "env.unset"), (0x6A, "exec"), (0x6F, "show.acl"),
    (0x72, "remote.file"), (0x7C, "system"),
]  # fmt: skip


@pytest.mark.parametrize(("number", "name"), NUMBERS)
def test_numbers_of_the_c_runtime(number: int, name: str) -> None:
    assert BY_NAME[name].number == number


EFFECTS = [
    ("fs.stat", Effect.READS), ("fs.closedir", Effect.READS), ("fs.put", Effect.WRITES),
    ("exec", Effect.EXECUTES), ("authdb.close", Effect.PURE), ("authdb.save", Effect.WRITES),
    ("remote.file", Effect.WRITES), ("fact.get", Effect.READS), ("localsys", Effect.EXECUTES),
    ("exec.argv", Effect.EXECUTES), ("runas.uid", Effect.PURE), ("syslog", Effect.PURE),
]  # fmt: skip


@pytest.mark.parametrize(("name", "effect"), EFFECTS)
def test_effects(name: str, effect: Effect) -> None:
    assert BY_NAME[name].effect is effect


def test_effects_have_words_and_an_order() -> None:
    assert [effect.word for effect in sorted(Effect)] == ["pure", "reads", "writes", "executes"]


USAGES = [
    ("set", "set %a (%b|<string>|<number>)"),
    ("noop", "noop"),
    ("jz", "jz <label>"),
    ("call", "call <function>"),
    ("syslog", "syslog (%a|<identifier>|<string>) (%b|<string>)"),
    ("swap", "swap %a %b"),
]


@pytest.mark.parametrize(("name", "usage"), USAGES)
def test_usage(name: str, usage: str) -> None:
    assert BY_NAME[name].usage == usage


def test_every_row_has_its_sentence() -> None:
    for opcode in TABLE:
        assert opcode.sentence.endswith("."), opcode.name
