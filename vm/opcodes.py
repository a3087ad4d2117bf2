"""Every instruction of Pendulum, a row each (pendulum.md "Instructions"): the one place that has them.

Assembler, disassembler, verifier and effects all read it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from vm.ops import (
    augeas,
    authdb,
    compare,
    environment,
    facts,
    flow,
    fs_changes,
    fs_contents,
    fs_directories,
    fs_status,
    groups,
    logs,
    programs,
    registers,
    remote,
    rules,
    state,
    text,
    users,
)
from vm.program import ADDRESS, EMBED, LITERAL, REGISTER, Handler


class Effect(IntEnum):
    """What an instruction, or an image, does to the host; a worse one is greater."""

    PURE = 0
    READS = 1
    WRITES = 2
    EXECUTES = 3

    @property
    def word(self) -> str:
        """As people write it: `pure`."""
        return self.name.lower()


PURE, READS, WRITES, EXECUTES = Effect


class Opcode(NamedTuple):
    """One row of the table."""

    number: int
    name: str
    operands: tuple[str, ...]
    """The forms that each may have, a letter each: r register, s string, n number, l label or offset,
    f function, i identifier, e embedded text."""
    effect: Effect
    sentence: str
    handler: Handler

    @property
    def usage(self) -> str:
        """How it is written: `set %a (%b|<string>|<number>)`."""
        words = [self.name]
        for number, forms in enumerate(self.operands):
            choices = "|".join(f"%{'ab'[number]}" if form == "r" else _WRITTEN[form] for form in forms)
            words.append(f"({choices})" if len(forms) > 1 else choices)
        return " ".join(words)


_WRITTEN = {
    "s": "<string>",
    "n": "<number>",
    "l": "<label>",
    "f": "<function>",
    "i": "<identifier>",
    "e": "<string>",
}


def _row(number: int, name: str, operands: str, effect: Effect, sentence: str, handler: Handler) -> Opcode:
    forms = tuple(operand.replace("/", "") for operand in operands.split(", ")) if operands else ()
    return Opcode(number, name, forms, effect, sentence, handler)


# fmt: off
TABLE: tuple[Opcode, ...] = (
    _row(0x00, "noop", "", PURE, "Does nothing.", registers.noop),
    _row(0x01, "push", "r/s/n", PURE, "Pushes a value on the data stack.", registers.push),
    _row(0x02, "pop", "r", PURE, "Pops a value off the data stack into the register.", registers.pop),
    _row(0x03, "set", "r, r/s/n", PURE, "Copies operand 2 into the register.", registers.copy),
    _row(0x04, "swap", "r, r", PURE, "Exchanges two different registers.", registers.swap),
    _row(0x05, "acc", "r", PURE, "Copies acc into the register.", registers.acc),
    _row(0x06, "pragma", "i, i/s/n", PURE, "Sets a pragma, which the machine or the program itself may look at.", state.pragma),
    _row(0x07, "property", "r/s, r", PURE, "The text of a property, or else of a pragma; acc 1 if there is neither.", state.lookup),
    _row(0x08, "anno", "e", PURE, "A remark in an image with annotations; does nothing.", registers.noop),
    _row(0x09, "add", "r, r/n", PURE, "Adds operand 2 to the register.", registers.add),
    _row(0x0a, "sub", "r, r/n", PURE, "Subtracts operand 2 from the register.", registers.sub),
    _row(0x0b, "mult", "r, r/n", PURE, "Multiplies the register by operand 2.", registers.mult),
    _row(0x0c, "div", "r, r/n", PURE, "Divides the register by operand 2.", registers.div),
    _row(0x0d, "mod", "r, r/n", PURE, "Leaves the remainder of dividing the register by operand 2.", registers.mod),
    _row(0x0e, "call", "f", PURE, "Saves the registers and goes to a function.", flow.call),
    _row(0x0f, "try", "f", PURE, "The same, as the place to which bail returns.", flow.attempt),
    _row(0x10, "ret", "", PURE, "Returns to the caller, with its registers; halts where there is none.", flow.ret),
    _row(0x10, "retv", "r/s/n", PURE, "Sets acc and returns.", flow.retv),
    _row(0x11, "bail", "r/n", PURE, "Sets acc and returns from the innermost try, however deep; halts where there is none.", flow.bail),
    _row(0x12, "eq", "r/n, r/n", PURE, "acc 0 if operand 1 = operand 2.", compare.eq),
    _row(0x13, "lt", "r/n, r/n", PURE, "acc 0 if operand 1 < operand 2.", compare.lt),
    _row(0x14, "lte", "r/n, r/n", PURE, "acc 0 if operand 1 <= operand 2.", compare.lte),
    _row(0x15, "gt", "r/n, r/n", PURE, "acc 0 if operand 1 > operand 2.", compare.gt),
    _row(0x16, "gte", "r/n, r/n", PURE, "acc 0 if operand 1 >= operand 2.", compare.gte),
    _row(0x17, "streq", "r/s, r/s", PURE, "acc 0 if the strings are equal.", compare.streq),
    _row(0x18, "jmp", "l", PURE, "Goes to another place of the function.", flow.jmp),
    _row(0x19, "jz", "l", PURE, "Goes there if acc is 0.", flow.jz),
    _row(0x1a, "jnz", "l", PURE, "Goes there if acc is not 0.", flow.jnz),
    _row(0x1b, "string", "s/r, r", PURE, "Formats into a new string.", text.string),
    _row(0x1c, "print", "r/s", PURE, "Formats to standard output.", text.write),
    _row(0x1d, "error", "r/s", PURE, "Formats to standard error, with a newline.", text.error),
    _row(0x1e, "perror", "r/s", PURE, "The same, with the last failure behind it: (ERRNO) MESSAGE.", text.perror),
    _row(0x1f, "syslog", "r/i/s, r/s", PURE, "Logs a formatted message at the level that operand 1 names.", logs.syslog),
    _row(0x20, "flag", "r/s", PURE, "Sets a flag.", state.flag),
    _row(0x21, "unflag", "r/s", PURE, "Clears a flag.", state.unflag),
    _row(0x22, "flagged?", "r/s", PURE, "acc 0 if the flag is set.", state.flagged),
    _row(0x23, "fs.stat", "r/s", READS, "acc 0 if there is anything at the path.", fs_status.stat),
    _row(0x24, "fs.type", "r/s, r", READS, "What kind of file the path is, in words.", fs_status.type_of),
    _row(0x25, "fs.file?", "r/s", READS, "acc 0 if the path is a regular file.", fs_status.is_file),
    _row(0x26, "fs.symlink?", "r/s", READS, "acc 0 if the path is a symbolic link.", fs_status.is_symlink),
    _row(0x27, "fs.dir?", "r/s", READS, "acc 0 if the path is a directory.", fs_status.is_dir),
    _row(0x28, "fs.chardev?", "r/s", READS, "acc 0 if the path is a character device.", fs_status.is_chardev),
    _row(0x29, "fs.blockdev?", "r/s", READS, "acc 0 if the path is a block device.", fs_status.is_blockdev),
    _row(0x2a, "fs.fifo?", "r/s", READS, "acc 0 if the path is a FIFO pipe.", fs_status.is_fifo),
    _row(0x2b, "fs.socket?", "r/s", READS, "acc 0 if the path is a UNIX domain socket.", fs_status.is_socket),
    _row(0x2c, "fs.readlink", "r/s, r", READS, "The target of a symbolic link.", fs_status.readlink),
    _row(0x2d, "fs.dev", "r/s, r", READS, "The number of the device that a file is on.", fs_status.dev),
    _row(0x2e, "fs.inode", "r/s, r", READS, "The number of a file's inode.", fs_status.inode),
    _row(0x2f, "fs.mode", "r/s, r", READS, "The low 12 bits of a file's mode.", fs_status.mode),
    _row(0x30, "fs.nlink", "r/s, r", READS, "How many links a file has.", fs_status.nlink),
    _row(0x31, "fs.uid", "r/s, r", READS, "The user id of a file's owner.", fs_status.uid),
    _row(0x32, "fs.gid", "r/s, r", READS, "The id of a file's group.", fs_status.gid),
    _row(0x33, "fs.major", "r/s, r", READS, "The major number of a device.", fs_status.major),
    _row(0x34, "fs.minor", "r/s, r", READS, "The minor number of a device.", fs_status.minor),
    _row(0x35, "fs.size", "r/s, r", READS, "The size of a file in bytes.", fs_status.size),
    _row(0x36, "fs.atime", "r/s, r", READS, "When a file was last read, in seconds since 1970.", fs_status.atime),
    _row(0x37, "fs.mtime", "r/s, r", READS, "When its contents last changed.", fs_status.mtime),
    _row(0x38, "fs.ctime", "r/s, r", READS, "When its inode last changed.", fs_status.ctime),
    _row(0x39, "fs.touch", "r/s", WRITES, "Creates a file if there is none.", fs_changes.touch),
    _row(0x3a, "fs.mkdir", "r/s", WRITES, "Creates a directory if there is none.", fs_changes.mkdir),
    _row(0x3b, "fs.link", "r/s, r/s", WRITES, "Makes operand 2 a hard link to the file operand 1.", fs_changes.link),
    _row(0x3c, "fs.symlink", "r/s, r/s", WRITES, "Makes operand 2 a symbolic link to operand 1.", fs_changes.symlink),
    _row(0x3d, "fs.unlink", "r/s", WRITES, "Removes a file of any kind but a directory.", fs_changes.unlink),
    _row(0x3e, "fs.rmdir", "r/s", WRITES, "Removes an empty directory.", fs_changes.rmdir),
    _row(0x3f, "fs.rename", "r/s, r/s", WRITES, "Renames operand 1 to operand 2, over what has that name.", fs_changes.rename),
    _row(0x40, "fs.copy", "r/s, r/s", WRITES, "Copies the contents of operand 1 to operand 2.", fs_changes.copy),
    _row(0x41, "fs.chown", "r/s, r/n", WRITES, "Sets the owner, never through a symbolic link.", fs_changes.chown),
    _row(0x42, "fs.chgrp", "r/s, r/n", WRITES, "Sets the group, never through a symbolic link.", fs_changes.chgrp),
    _row(0x43, "fs.chmod", "r/s, r/n", WRITES, "Sets the low 12 bits of the mode; a symbolic link has none.", fs_changes.chmod),
    _row(0x44, "fs.sha1", "r/s, r", READS, "SHA-1 of a file, in hexadecimal.", fs_contents.sha1),
    _row(0x45, "fs.get", "r/s, r", READS, "A whole file as a string.", fs_contents.get),
    _row(0x46, "fs.put", "r/s, r/s", WRITES, "Writes the string of operand 2 to a file, all or nothing.", fs_contents.put),
    _row(0x47, "fs.opendir", "r/s, r", READS, "Opens a directory; the register gets its handle.", fs_directories.opendir),
    _row(0x48, "fs.readdir", "r, r", READS, "The name of the next entry, into operand 2; acc 1 at the end.", fs_directories.readdir),
    _row(0x49, "fs.closedir", "r", READS, "Closes an open directory.", fs_directories.closedir),
    _row(0x4a, "authdb.open", "", READS, "Reads passwd, shadow, group and gshadow in the directory of pragma authdb.root.", authdb.load),
    _row(0x4b, "authdb.save", "", WRITES, "Writes those that have changed, each in one step, under the system's lock.", authdb.save),
    _row(0x4c, "authdb.close", "", PURE, "Forgets the open database.", authdb.close),
    _row(0x4d, "authdb.nextuid", "r/n, r", READS, "The lowest free user id from operand 1 on.", authdb.nextuid),
    _row(0x4e, "authdb.nextgid", "r/n, r", READS, "The lowest free group id from operand 1 on.", authdb.nextgid),
    _row(0x4f, "user.find", "r/s", PURE, "Finds a user by name, for the instructions below; acc 1 if there is none.", users.find),
    _row(0x50, "user.get", "r/s, r", PURE, "An attribute of the user found, a text or a number.", users.get),
    _row(0x51, "user.set", "r/s, r/s/n", PURE, "Sets an attribute of the user found.", users.change),
    _row(0x52, "user.new", "", PURE, "Begins a user, locked, in the place of the one found.", users.create),
    _row(0x53, "user.delete", "", PURE, "Deletes the user found, who then is in no group.", users.delete),
    _row(0x54, "group.find", "r/s", PURE, "Finds a group by name, for the instructions below; acc 1 if there is none.", groups.find),
    _row(0x55, "group.get", "r/s, r", PURE, "An attribute of the group found, a text or a number.", groups.get),
    _row(0x56, "group.set", "r/s, r/s/n", PURE, "Sets an attribute of the group found.", groups.change),
    _row(0x57, "group.new", "", PURE, "Begins a group, without members, in the place of the one found.", groups.create),
    _row(0x58, "group.delete", "", PURE, "Deletes the group found.", groups.delete),
    _row(0x59, "group.has?", "r/s, r/s", PURE, "acc 0 if user operand 2 is a member or admin, as operand 1 says, of the group found.", groups.has),
    _row(0x5a, "group.join", "r/s, r/s", PURE, "Makes a user that.", groups.join),
    _row(0x5b, "group.kick", "r/s, r/s", PURE, "Makes a user that no more.", groups.kick),
    _row(0x5c, "augeas.init", "", READS, "Opens the configuration files under pragma augeas.root.", augeas.init),
    _row(0x5d, "augeas.done", "", READS, "Closes them; what was not written is lost.", augeas.done),
    _row(0x5e, "augeas.perror", "r/s", READS, "Formats to standard error, with what Augeas says of the last failure.", augeas.perror),
    _row(0x5f, "augeas.write", "", WRITES, "Writes changes to the files.", augeas.write),
    _row(0x60, "augeas.set", "r/s, r/s", WRITES, "Sets the value of a node, which is made if there is none.", augeas.change),
    _row(0x61, "augeas.get", "r/s, r", READS, "The value of a node.", augeas.get),
    _row(0x62, "augeas.find", "r/s, r", READS, "The path of the one node that matches.", augeas.find),
    _row(0x63, "augeas.remove", "r/s", WRITES, "Removes nodes, with all below them.", augeas.remove),
    _row(0x64, "env.get", "r/s, r", PURE, "The value of a variable; acc 1 if there is none.", environment.get),
    _row(0x65, "env.set", "r/s, r/s", PURE, "Sets a variable.", environment.change),
    _row(0x66, "env.unset", "r/s", PURE, "Removes a variable.", environment.unset),
    _row(0x67, "localsys", "r/s, r", EXECUTES, "Runs cw localsys with the words of a format; the first line of its output.", programs.localsys),
    _row(0x68, "runas.uid", "r/n", PURE, "Whom the programs of exec, exec.argv and system are to run as; 0xffffffff is us again.", programs.runas_uid),
    _row(0x69, "runas.gid", "r/n", PURE, "The same for their group; 0xffffffff is ours or, of another user, that user's own.", programs.runas_gid),
    _row(0x6a, "exec", "r/s, r", EXECUTES, "Has a shell run a line; the first line of its output.", programs.execute),
    _row(0x6b, "dump", "", PURE, "Prints the machine's state: registers, stacks, strings.", state.dump),
    _row(0x6c, "halt", "", PURE, "Stops; acc is the status.", flow.halt),
    _row(0x6d, "acl", "s", PURE, "Adds an access rule to those of the host, for this run.", rules.acl),
    _row(0x6e, "show.acls", "", PURE, "Prints all access rules.", rules.show_acls),
    _row(0x6f, "show.acl", "r/s", PURE, "Prints those about a user, or about a group written :GROUP.", rules.show_acl),
    _row(0x70, "remote.live?", "", READS, "acc 0 if the policy master can be asked.", remote.live),
    _row(0x71, "remote.sha1", "r/s, r", READS, "SHA-1 of the master's copy of a file resource, in hexadecimal.", remote.sha1),
    _row(0x72, "remote.file", "r/s, r/s", WRITES, "Writes the master's copy of file resource operand 1 to path operand 2.", remote.file),
    _row(0x73, "topic", "r/s", PURE, "Sets what %T stands for in formats.", text.topic),
    _row(0x74, "umask", "r/n, r", PURE, "Sets the mask of new files' modes; the one before.", state.umask),
    _row(0x75, "loglevel", "r/s/i, r", PURE, "Sets from which level on messages are logged; the level before.", logs.loglevel),
    _row(0x76, "geteuid", "r", PURE, "The effective user id of cw.", state.geteuid),
    _row(0x77, "getegid", "r", PURE, "The effective group id of cw.", state.getegid),
    _row(0x78, "runtime", "r", PURE, "The version of the instruction set, a number.", state.runtime),
    _row(0x79, "fs.mkparent", "r/s", WRITES, "Creates missing parent directories, with owner and mode of the nearest there is.", fs_changes.mkparent),
    _row(0x7a, "augeas.exists?", "r/s", READS, "acc 0 if exactly one node matches.", augeas.exists),
    _row(0x7b, "sha1", "r/s, r", PURE, "SHA-1 of a string, in hexadecimal.", text.sha1),
    _row(0x7c, "system", "r/s", EXECUTES, "Formats a line and has a shell run it, its output to ours.", programs.system),
    _row(0xe0, "fact.get", "r/s, r", READS, "The value of a fact; acc 1 if there is none.", facts.get),
    _row(0xe1, "fact.next", "r/s, r", READS, "The name of the fact behind the one named; of an empty name, the first; acc 1 at the end.", facts.following),
    _row(0xe2, "exec.argv", "r/n", EXECUTES, "Pops so many words, the program first, and runs them without a shell, output to ours.", programs.execute_argv),
    _row(0xe3, "string.cut", "r, r/n", PURE, "Takes so many bytes off the beginning of the register's string.", text.string_cut),
    _row(0xe4, "localsys.ask", "r/s, r", READS, "Like localsys, for what changes nothing: identify, pkg-version, pkg-latest, svc-…-status.", programs.localsys_ask),
    _row(0xe5, "errno", "r", PURE, "The number of the last failure's reason; 0 if there was none.", text.errno),
)
# fmt: on

BY_NAME = {opcode.name: opcode for opcode in TABLE}

BY_NUMBER: dict[int, tuple[Opcode, ...]] = {}
for _opcode in TABLE:
    BY_NUMBER[_opcode.number] = (*BY_NUMBER.get(_opcode.number, ()), _opcode)


class Form(NamedTuple):
    """An opcode with the operand types that an image may give it."""

    opcode: Opcode
    types: tuple[int, ...]
    code: tuple[bool, ...]
    """For each operand whether it is the address of an instruction."""


_TYPES = {"r": REGISTER, "n": LITERAL, "s": ADDRESS, "i": ADDRESS, "l": ADDRESS, "f": ADDRESS}


def _forms(opcode: Opcode) -> list[Form]:
    if opcode.operands == ("e",):
        return [Form(opcode, (LITERAL, EMBED), (False, False))]
    types: list[tuple[int, ...]] = [()]
    for forms in opcode.operands:
        choices = dict.fromkeys(_TYPES[form] for form in forms)
        types = [(*before, choice) for before in types for choice in choices]
    code = tuple(forms in {"l", "f"} for forms in opcode.operands)
    return [Form(opcode, choice, code) for choice in types]


def _word(form: Form) -> int:
    first, second = (*form.types, 0, 0)[:2]
    return form.opcode.number << 8 | first << 4 | second


FORMS = {_word(form): form for opcode in TABLE for form in _forms(opcode)}
"""The first two bytes of an instruction, as a number, to what it is: all that is legal."""
