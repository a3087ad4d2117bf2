"""Programs that are in order and make no sense, made by the choices of a random.Random."""

from random import Random

from vm.opcodes import TABLE, Opcode

OPCODES = [opcode for opcode in TABLE if opcode.name != "anno"]
LABELS = ["one", "two", "three"]
FUNCTIONS = ["main", "f", "g"]
TEXTUAL, NUMERIC = "ab", "cd"
"""Registers that mostly hold strings, and those that mostly hold numbers: else most programs soon fault."""

WORDS = ["info", "debug", "notice"]
NUMBERS = ["0", "1", "2", "3", "0644", "65535", "0x7fffffff", "0x80000001", "0xffffffff"]

TEXTS = ["", "a", "x%[a]s", "%[b]08.3d|%T", "%[c]-12s%%", "info", "version", "%z", "ž"]
PATHS = [
    "/etc/motd",
    "/etc",
    "/etc/link",
    "/etc/loop",
    "/tmp/a",
    "/tmp/a/b",
    "/tmp",
    "/dev/sda",
    "/",
    "x",
    "",
]
NAMES = [
    "root",
    "a",
    "member",
    "admin",
    "name",
    "uid",
    "gid",
    "password",
    "pwhash",
    "home",
    "expiry",
    "x:y",
    "",
]
NODES = [
    "/files/etc/hosts/1/ipaddr",
    "/files/etc/hosts/*",
    "/files/etc/hosts/2/canonical",
    "/files/nonsense",
    "[",
]
COMMANDS = ["true", "identify", "missing", "busy", "forever", "killed", "env", "a b", "%[a]s", ""]
RULES = ["allow ALL ALL", "deny a ping", "allow :b show *", "nonsense"]
PRAGMAS = [
    "test on",
    "test off",
    "trace on",
    "trace off",
    "timeout 3",
    "augeas.root nowhere",
    'authdb.root "/etc"',
    'authdb.root "a"',
    "fs.links off",
    "fs.links on",
]

FAMILIES = {
    "fs": PATHS,
    "user": NAMES,
    "group": NAMES,
    "augeas": NODES,
    "remote": ["a", "cut", "/tmp/a", "/etc"],
    "exec": COMMANDS,
    "system": COMMANDS,
    "localsys": COMMANDS,
    "env": ["PATH", "a", "a=b", ""],
}
"""What the strings of an instruction are, by what is before the dot of its name."""

OPENINGS = [
    "authdb.open",
    'authdb.open user.find "root"',
    'authdb.open group.find "a"',
    'authdb.open user.find "a" user.set "name" "b" user.set "changed" 3',
    'authdb.open group.find "a" group.join "admin" "root" group.join "member" "b"',
    'authdb.open user.new user.set "name" "b" user.set "uid" 7 authdb.save',
    'authdb.open group.new group.set "name" "b" group.join "member" "root"',
    "augeas.init",
    'fs.opendir "/etc" %c',
    'fs.get "/etc/motd" %a',
    'push "env" exec.argv 1',
    'push "a" push "b" exec.argv 2',
    "pragma trace on",
]
"""What makes it likely that later instructions find something to do."""

STRINGS_FIRST = ['string "x%%[b]s" %a', 'string "1" %b']

MAKES_ADDRESSES = {"set", "push", "retv", "fs.chown"}
"""Instructions that, with a string, make an address of the image into a number that a program may print."""


def program(random: Random, *, without: frozenset[str] = frozenset(), addresses: bool = True) -> str:
    """The source of one; `without` are names of instructions that are not in it.

    Without `addresses`, what it does depends on nothing that annotations change.
    """
    opcodes = [opcode for opcode in OPCODES if opcode.name not in without]
    functions = list(FUNCTIONS)
    random.shuffle(functions)
    lines = []
    for name in functions:
        lines.append(f"fn {name}")
        lines += STRINGS_FIRST if name == "main" else []
        for label in LABELS:
            for _ in range(random.randrange(7)):
                if random.randrange(8) == 0:
                    lines.append(random.choice(OPENINGS))
                else:
                    lines.append(instruction(random, random.choice(opcodes), addresses=addresses))
            lines.append(f"{label}:")
    return "\n".join(lines)


def instruction(random: Random, opcode: Opcode, *, addresses: bool) -> str:
    """One of that kind, a line of source."""
    if opcode.name == "swap":
        return "swap %a %b"
    if opcode.name == "acl":
        return f"acl {random.choice(RULES)}"
    if opcode.name == "pragma":
        return f"pragma {random.choice(PRAGMAS)}"
    words = [opcode.name]
    for forms in opcode.operands:
        suitable = [form for form in forms if addresses or form != "s" or opcode.name not in MAKES_ADDRESSES]
        family = opcode.name.partition(".")[0]
        words.append(operand(random, random.choice(suitable), family, textual="s" in forms))
    return " ".join(words)


def operand(random: Random, form: str, family: str, *, textual: bool) -> str:
    """An operand of one form: `r` a register, `s` a string, and so on as vm.opcodes has them."""
    if form == "s":
        return f'"{random.choice(FAMILIES.get(family, TEXTS))}"'
    if form == "r":
        usual = TEXTUAL if textual else NUMERIC
        return f"%{random.choice(usual if random.randrange(32) else TEXTUAL + NUMERIC)}"
    return random.choice({"n": NUMBERS, "l": [*LABELS, "+0"], "f": FUNCTIONS, "i": WORDS}[form])
