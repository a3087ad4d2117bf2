"""A site's own commands on the command line: looked for where the words are none of cw's, and only there."""

from pathlib import Path
from typing import NamedTuple

import pytest

import cw
from auth.keys import SIGNING, write_pair
from mesh.messages import Ok, Request, Result
from roles.site import begins_command
from tests.fake_broker import Link, broker, done, node
from tests.mesh.test_site_grammar import a_command, written
from tests.sessions import BROKER


class Place(NamedTuple):
    """A client's files: cw.toml, and the directory of the site's commands."""

    configuration: Path
    commands: Path

    @property
    def options(self) -> list[str]:
        return ["-c", str(self.configuration)]

    def drop(self, name: str, text: bytes) -> None:
        (self.commands / name).write_bytes(text)
        (self.commands / name).chmod(0o644)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """One with the command `disk free PATH…`, and `show disk`."""
    write_pair(tmp_path / "key", SIGNING, "alice", bytes(range(32)))
    configuration = tmp_path / "cw.toml"
    configuration.write_text(
        f'[mesh]\nbroker_key = "{BROKER.public.hex()}"\nusername = "alice"\nkey = "key"\n'
    )
    configuration.chmod(0o644)
    made = Place(configuration, tmp_path / "commands")
    made.commands.mkdir(0o755)
    made.drop("disk.toml", written(a_command("disk free PATH…"), a_command("show disk", effect="executes")))
    return made


Said = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    "words",
    [
        ["disk", "free", "/a b", "/c"],
        ["mesh", "disk", "free", "/a b", "/c"],
        ["mesh", 'disk free "/a b" /c'],
        ["disk", "free", "--", "/a b", "/c"],
    ],
)
def test_a_sites_command_is_asked_as_any_other(words: list[str], place: Place, capfd: Said) -> None:
    asked: list[Request] = []

    def answer(link: Link) -> None:
        asked.append(link.request())
        link.say(Ok(1))
        link.report(node(1), Result(0, b"full\n", b"", False, 0))
        link.say(done(sessions=1, results=1))

    with broker(answer) as listener:
        address = f'mesh.broker="{listener.address}"'
        assert cw.main([words[0], *place.options, "--set", address, "-q", *words[1:]]) == 0
    assert capfd.readouterr() == ("web01.example.com 0 full\n", "")
    assert [request.words for request in asked] == [("disk", "free", "/a b", "/c")]


A_PATH = "PATH is absolute, without .. . and //, and not under /proc or /sys"

WRONG = [
    (
        ["disk", "free", "x"],
        f"unrecognised command: disk free x (expected disk free PATH…, where {A_PATH})",
    ),
    (["disk", "free"], "unrecognised command: disk free (expected disk free PATH…)"),
    (["disk", "full"], "unrecognised command: disk full (expected disk free PATH…)"),
    (
        ["mesh", "dusk"],
        "unrecognised command: dusk: did you mean 'disk'?",
    ),
    (["dusk", "free"], "unknown command 'dusk' (see cw --help)"),
    (["mesh", "show", "disk", "x"], "unrecognised command: show disk x (expected show disk)"),
    (["ping", "x"], "unrecognised command: ping x (expected ping)"),
]


@pytest.mark.parametrize(("words", "sentence"), WRONG)
def test_what_is_no_command_is_one_line_and_nobody_is_asked(
    words: list[str], sentence: str, place: Place, capfd: Said
) -> None:
    assert cw.main([words[0], *place.options, *words[1:]]) == 2
    assert capfd.readouterr() == ("", f"cw: {sentence}\n")


def test_the_directory_is_looked_at_only_for_words_that_are_not_of_cw(place: Place, capfd: Said) -> None:
    place.drop("bad.toml", b"bad")
    assert cw.main(["ping", "-n", *place.options]) == 0
    assert cw.main(["show", "fact", "a b", "-n", *place.options]) == 2
    assert capfd.readouterr().err.startswith("cw: unrecognised command: show fact")
    for words in (["disk", "free", "/x"], ["show", "disk"], ["mesh", "sho"], ["sho"]):
        assert cw.main([*words, "-n", *place.options]) == 2
        assert capfd.readouterr().err.startswith(f"cw: {place.commands}/bad.toml: expected TOML, got: ")


def test_a_directory_that_is_not_there_has_none(place: Place, capfd: Said) -> None:
    for setting in ("mesh.commands='nowhere'", "mesh.commands=''"):
        assert cw.main(["disk", "free", "/x", "-n", *place.options, "--set", setting]) == 2
        assert capfd.readouterr().err == "cw: unknown command 'disk' (see cw --help)\n"


def test_a_directory_that_cannot_be_looked_at_is_told(place: Place, capfd: Said) -> None:
    loop = place.commands.parent / "loop"
    loop.symlink_to("loop")
    assert cw.main(["disk", "free", "/x", "-n", *place.options, "--set", f"mesh.commands='{loop}'"]) == 2
    sentence = f"cw: cannot read {loop}: Too many levels of symbolic links (mesh.commands names it)\n"
    assert capfd.readouterr().err == sentence


def test_a_directory_that_others_can_write_is_not_obeyed(place: Place, capfd: Said) -> None:
    place.commands.chmod(0o777)
    assert cw.main(["disk", "free", "/x", "-n", *place.options]) == 2
    assert f"{place.commands}: others can put files into it (mode 0777)" in capfd.readouterr().err
    place.commands.chmod(0o755)
    (place.commands / "disk.toml").chmod(0o664)
    assert cw.main(["disk", "free", "/x", "-n", *place.options]) == 2
    assert "disk.toml: others can change it (mode 0664)" in capfd.readouterr().err


def test_whose_a_word_is_comes_before_what_is_wrong_with_others(place: Place) -> None:
    assert begins_command(["disk", "free", *place.options])
    assert not begins_command(["free", "disk", *place.options])
    assert not begins_command(["dusk", "--listen", "x"])


def test_the_help_lists_them_apart(place: Place, capfd: Said) -> None:
    assert cw.main(["mesh", "--help", *place.options]) == 0
    shown = capfd.readouterr().out.splitlines()
    assert "  of this site: disk free PATH…; show disk" in shown
    assert len(shown) <= 24
    assert cw.main(["mesh", "--help"]) == 0
    assert "of this site" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (
            ["disk", "--help"],
            [
                "of this site:",
                "disk free PATH…            says so (effect: reads)",
                A_PATH,
            ],
        ),
        (
            ["mesh", "--help", "show", "disk"],
            ["of this site:", "show disk                  says so (effect: executes)"],
        ),
        (["ping", "--help"], ["ping                       answers pong (effect: pure)"]),
    ],
)
def test_the_help_of_one(words: list[str], lines: list[str], place: Place, capfd: Said) -> None:
    assert cw.main([*words, *place.options]) == 0
    shown = capfd.readouterr().out.splitlines()
    assert shown[1 : len(lines) + 1] == [f"  {line}" for line in lines]
    assert shown[len(lines) + 1].startswith("  -w, --where FILTER")
    assert max(map(len, shown)) <= 100


def test_there_is_help_where_they_cannot_be_read(place: Place, capfd: Said) -> None:
    place.drop("bad.toml", b"\x1b[2J")
    assert cw.main(["mesh", "--help", *place.options]) == 0
    shown = capfd.readouterr()
    assert shown.out.startswith("usage: cw COMMAND…")
    assert "of this site" not in shown.out
    assert shown.err.startswith(f"cw: {place.commands}/bad.toml: expected TOML, got: ")
    assert shown.err.endswith("; so this is without the site's own commands\n")
    assert "\x1b" not in shown.err
