"""augeas.* on a scratch root, through the real library."""

import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from host import augeas
from host.augeas import FILE_LIMIT, PATH_LIMIT, WRONG_LIMIT, LocalAugeas
from tests.vm.hosts import FakeHost, main_of, ran
from vm.host.augeas import Refused
from vm.machine import Limits, Outcome

HOSTS = """\
# lines like these stay
127.0.0.1\tlocalhost   # and this

10.0.0.1   web.example.org web w
10.0.0.2 db
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").write_text(HOSTS)
    return tmp_path


def under(root: Path, body: str, library: str | None = None, limits: Limits | None = None) -> Outcome:
    host = FakeHost()
    host.augeas = LocalAugeas() if library is None else LocalAugeas(library)
    return ran(main_of(f'pragma augeas.root "{root}" augeas.init\n{body}'), host=host, limits=limits)


SHOWS = [
    ("acc %a", "0"),
    ('augeas.get "/files/etc/hosts/2/canonical" %b acc %a', "0 web.example.org"),
    ('augeas.get "/files/etc/hosts/2" %b acc %a', "0 "),
    ('augeas.get "/files/etc/hosts/9/canonical" %b acc %a', "1 -"),
    ('augeas.get "/files/etc/hosts/*/ipaddr" %b acc %a', "1 -"),
    ("augeas.find \"/files/etc/hosts/*[ipaddr = '10.0.0.2']\" %b acc %a", "0 /files/etc/hosts/3"),
    ('augeas.find "/files/etc/hosts/*[ipaddr]" %b acc %a', "1 -"),
    ('augeas.find "/files/etc/hosts/9" %b acc %a', "1 -"),
    ('augeas.find "/files[" %b acc %a', "1 -"),
    ('augeas.exists? "/files/etc/hosts/1" acc %a', "0"),
    ('augeas.exists? "/files/etc/hosts/*[ipaddr]" acc %a', "1"),
    ('augeas.exists? "/files/etc/hosts/9" acc %a', "1"),
    ('augeas.exists? "][" acc %a', "1"),
    ('augeas.remove "/files/etc/hosts/9" acc %a', "1"),
    ('augeas.remove "/files/etc/hosts/*[ipaddr]" augeas.exists? "/files/etc/hosts/1" acc %a', "1"),
    ("augeas.done acc %a", "0"),
    ("augeas.done augeas.done acc %a", "0"),
    ('augeas.done augeas.exists? "/files" acc %a', "1"),
    ('augeas.done augeas.init augeas.exists? "/files" acc %a', "0"),
    ('augeas.remove "/files/etc/hosts/1" augeas.init augeas.exists? "/files/etc/hosts/1" acc %a', "0"),
    ('augeas.exists? "/files/etc/passwd" acc %a', "1"),
]


@pytest.mark.parametrize(("body", "shown"), SHOWS)
def test_what_it_shows(root: Path, body: str, shown: str) -> None:
    shows = "%[a]d %[b]s" if " " in shown else "%[a]d"
    outcome = under(root, f'set %b "-" {body} print "{shows}"')
    assert (outcome.output.decode(), outcome.fault) == (shown, "")
    assert (root / "etc/hosts").read_text() == HOSTS


def test_saving_keeps_the_rest_of_the_file_with_its_owner_and_mode(root: Path) -> None:
    os.chmod(root / "etc/hosts", 0o640)
    os.chown(root / "etc/hosts", 12, 34)
    body = """
        augeas.set "/files/etc/hosts/2/alias[2]" "www"
        augeas.set "/files/etc/hosts/01/ipaddr" "10.0.0.3"
        augeas.set "/files/etc/hosts/01/canonical" "mail"
        augeas.remove "/files/etc/hosts/3"
        augeas.write
    """
    assert under(root, body).status == 0
    expected = HOSTS.replace("web w\n", "web www\n").replace("10.0.0.2 db\n", "10.0.0.3\tmail\n")
    assert (root / "etc/hosts").read_text() == expected
    found = (root / "etc/hosts").stat()
    assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o640, 12, 34)
    assert os.listdir(root / "etc") == ["hosts"]


def test_a_missing_file_is_made(root: Path) -> None:
    (root / "etc/hosts").unlink()
    body = """
        augeas.set "/files/etc/hosts/01/ipaddr" "::1"
        augeas.set "/files/etc/hosts/01/canonical" "ip6"
        augeas.write
    """
    assert under(root, body).status == 0
    assert (root / "etc/hosts").read_text() == "::1\tip6\n"


def test_what_cannot_be_written_can_be_taken_back(root: Path) -> None:
    body = """
        augeas.set "/files/etc/hosts/1/nonsense" "x" augeas.write acc %a
        augeas.remove "/files/etc/hosts/1/nonsense" augeas.write acc %b
        augeas.set "/files/etc/hosts/1/canonical" "here" augeas.write acc %c
        print "%[a]d%[b]d%[c]d"
    """
    assert under(root, body).output == b"100"
    assert (root / "etc/hosts").read_text() == HOSTS.replace("localhost", "here")


def broken(root: Path) -> None:
    (root / "etc/hosts").write_text("127.0.0.1 localhost\nnonsense\n")


def fifo(root: Path) -> None:
    (root / "etc/hosts").unlink()
    os.mkfifo(root / "etc/hosts")


def huge(root: Path) -> None:
    os.truncate(root / "etc/hosts", FILE_LIMIT + 1)


def loop(root: Path) -> None:
    (root / "etc/hosts").unlink()
    (root / "etc/hosts").symlink_to("hosts")


def nothing(root: Path) -> None:
    pass


def no_folder(root: Path) -> None:
    (root / "etc/hosts").unlink()
    (root / "etc").rmdir()


WRITES = (
    'augeas.set "/files/etc/hosts/1/ipaddr" "::1" augeas.set "/files/etc/hosts/1/canonical" "a" augeas.write'
)
PARSE_FAILED = "/etc/hosts:2:8: parse_failed: Iterated lens matched less than it should"

WRONGS = [
    (nothing, "", "Success", 0),
    (broken, "", PARSE_FAILED, errno.EINVAL),
    (fifo, "", "{root}/etc/hosts is not a regular file", errno.EINVAL),
    (huge, "", f"{{root}}/etc/hosts has {FILE_LIMIT + 1} bytes (expected at most {FILE_LIMIT})", errno.EFBIG),
    (loop, "", "{root}/etc/hosts: Too many levels of symbolic links", errno.ELOOP),
    (no_folder, WRITES, "/etc/hosts: mk_augtemp: No such file or directory", errno.EIO),
    (
        nothing,
        'augeas.exists? "/a["',
        "Invalid path expression: illegal string literal: /a[|=|",
        errno.EINVAL,
    ),
    (nothing, 'augeas.get "/nope" %a', "no node matches /nope", errno.ENOENT),
    (nothing, 'augeas.remove "/nope"', "no node matches /nope", errno.ENOENT),
    (nothing, 'augeas.find "/files//ipaddr" %a', "3 nodes match /files//ipaddr", errno.EMLINK),
    (
        nothing,
        'augeas.set "/files/etc/hosts/*/ipaddr" "1"',
        "Too many matches for path expression",
        errno.EMLINK,
    ),
    (nothing, "augeas.done augeas.write", "Augeas is not open (expected: augeas.init first)", errno.EBADF),
    (broken, "augeas.write", PARSE_FAILED, errno.EINVAL),
    (
        nothing,
        f'augeas.exists? "{"(" * (PATH_LIMIT + 1)}"',
        f"a path of {PATH_LIMIT + 1} bytes (expected at most {PATH_LIMIT})",
        errno.ENAMETOOLONG,
    ),
]


@pytest.mark.parametrize(("spoilt", "body", "wrong", "number"), WRONGS)
def test_what_went_wrong(
    root: Path, spoilt: Callable[[Path], None], body: str, wrong: str, number: int
) -> None:
    spoilt(root)
    outcome = under(root, f'{body} augeas.perror "host %%: x" perror "and"')
    said = wrong.format(root=root)
    assert outcome.error_output.decode() == f"host %: x: {said}\nand: ({number}) {os.strerror(number)}\n"


def test_what_the_file_cannot_hold_is_one_line(root: Path) -> None:
    body = 'augeas.set "/files/etc/hosts/1/nonsense" "x" augeas.write augeas.perror "host" perror "host"'
    first, second = under(root, body).error_output.decode().splitlines()
    assert first.startswith("host: /etc/hosts: put_failed: Failed to match tree under /files/etc/hosts/1 {")
    assert len(first) <= len("host: ") + WRONG_LIMIT
    assert second == f"host: ({errno.EINVAL}) Invalid argument"
    assert (root / "etc/hosts").read_text() == HOSTS


def test_the_deepest_path_expression_that_is_let_through(root: Path) -> None:
    paths = [(piece * PATH_LIMIT)[: PATH_LIMIT - 1] for piece in ("(", "a[", "a[not(", "-", "!", "a/")]
    body = "\n".join(f'augeas.exists? "/{path}"' for path in paths)
    assert under(root, body).status == 1


def test_no_nul_reaches_the_library(root: Path) -> None:
    tree = LocalAugeas().open(bytes(root))
    with pytest.raises(Refused, match="a NUL byte in /files"):
        tree.get(b"/files\0/x")
    with pytest.raises(Refused, match="a NUL byte in 1"):
        tree.set(b"/files/etc/hosts/1/ipaddr", b"1\0002")
    tree.close()
    with pytest.raises(Refused, match="a NUL byte in /"):
        LocalAugeas().open(b"/\0")


@pytest.mark.parametrize("library", ["libaugeas-missing.so.0", "libc.so.6"])
def test_a_host_without_the_library(root: Path, library: str) -> None:
    outcome = under(root, 'augeas.perror "host" augeas.write augeas.perror "host" perror "host"', library)
    sentence = f"host: Augeas is not on this host (expected: {library}, in Debian the package libaugeas0)\n"
    reason = f"host: ({errno.ELIBACC}) {os.strerror(errno.ELIBACC)}\n"
    assert outcome.error_output.decode() == 2 * sentence + reason
    assert outcome.status == 1


def test_nodes_are_charged_to_the_heap(root: Path) -> None:
    body = 'again: augeas.set "/a/b/c[last()+1]" "x" jmp again'
    assert under(root, body, limits=Limits(heap=100_000)).fault == "limit: heap (100000)"
    body = f'set %a "{"/a" * 1000}" augeas.set %a "x"'
    assert under(root, body, limits=Limits(heap=50_000)).fault == "limit: heap (50000)"


class Tree:
    """Counts how often it is closed."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Trees:
    """Opens trees, and keeps them."""

    def __init__(self) -> None:
        self.opened: list[Tree] = []

    def open(self, root: bytes) -> Tree:
        self.opened.append(Tree())
        return self.opened[-1]


@pytest.mark.parametrize(
    ("body", "trees"),
    [
        ("noop", 0),
        ("augeas.init", 1),
        ("augeas.init augeas.init", 2),
        ("augeas.init augeas.done", 1),
        ("augeas.init div %a 0", 1),
        ("augeas.init call main", 254),
    ],
)
def test_every_tree_is_closed_once_however_the_program_ends(body: str, trees: int) -> None:
    host = FakeHost()
    host.augeas = Trees()
    ran(main_of(body), host=host)
    assert [tree.closed for tree in host.augeas.opened] == [1] * len(host.augeas.opened)
    assert len(host.augeas.opened) >= trees


BOMB = "((a{1,255}){1,255}){1,255}"


@pytest.mark.parametrize("expression", [f"regexp('{BOMB}')", "regexp(/bomb)"])
def test_an_expression_that_would_take_all_memory(
    root: Path, monkeypatch: pytest.MonkeyPatch, expression: str
) -> None:
    monkeypatch.setattr(augeas, "MEMORY", 16 << 20)
    before = resource.getrlimit(resource.RLIMIT_AS)
    body = f'augeas.set "/bomb" "{BOMB}" augeas.find "/files//*[. =~ {expression}]" %a augeas.perror "no"'
    outcome = under(root, body)
    assert b"Memory exhausted" in outcome.error_output
    assert (outcome.fault, resource.getrlimit(resource.RLIMIT_AS)) == ("", before)
