"""The manual: whole, and read without a complaint by both of what people read it with."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cw
from conf.client import KEYS
from conf.schema import CogdConf, MeshdConf, keys_of
from host.systems.actions import ACTIONS
from mesh.command import GRAMMAR
from roles.completing import parser_of
from roles.job import EXAMPLES, NOTE, USAGES, usage
from roles.man import names, page
from roles.options import OPTIONS
from roles.pages import ADMINISTRATOR, AT_LENGTH, ROLES
from roles.roff import Page, escaped
from tools import manual

COMMANDS = cw.commands()
PAGES = {title: (name, section) for name, title, section in names(COMMANDS)}


def read_by(reader: list[str], text: str) -> str:
    """What a reader shows of a page, without a complaint; not how bold it is, nor where lines end."""
    ran = subprocess.run(reader, input=text, capture_output=True, text=True, check=False)
    assert (ran.stderr, ran.returncode) == ("", 0)
    return " ".join(re.sub(".\b", "", ran.stdout).split())


MANDOC = ["mandoc", "-man", "-Tutf8", "-Owidth=400"]
GROFF = ["groff", "-man", "-Tutf8", "-ww", "-P-cbou", "-rLL=400n", "-rHY=0"]


@pytest.mark.parametrize("title", PAGES)
def test_every_page_is_good_roff(title: str) -> None:
    text = page(PAGES[title][0], COMMANDS)
    assert text.isascii()
    assert read_by(["mandoc", "-man", "-Tlint", "-Wwarning"], text) == ""
    for reader in (MANDOC, GROFF):
        shown = read_by(reader, text)
        for heading in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "EXAMPLES", "SEE ALSO"):
            assert f" {heading} " in shown


def test_there_is_a_page_of_every_role_and_one_of_all_that_goes_to_nodes() -> None:
    assert set(PAGES) == {"cw"} | {f"cw-{name}" for name in cw.ROLES}
    assert {title for title, (_, section) in PAGES.items() if section == 8} == {
        f"cw-{name}" for name in ADMINISTRATOR
    }
    assert ROLES.keys() <= cw.ROLES.keys()
    assert all(page(verb, COMMANDS) == page("cw", COMMANDS) for verb in cw.VERBS)


def test_the_page_of_the_client_has_all_that_it_knows() -> None:
    shown = read_by(MANDOC, page("cw", COMMANDS))
    for verb in GRAMMAR:
        assert verb.usage in shown
        assert f"Effect: {verb.effect}." in shown
    for option in OPTIONS:
        assert f"{', '.join(option.names)} {option.value}".strip() in shown
        assert AT_LENGTH.get(option.names[-1], option.sentence)[1:] in shown
    assert AT_LENGTH.keys() <= {option.names[-1] for option in OPTIONS}
    for key in KEYS:
        assert f"{key.path} = " in shown
    for name, (_, summary) in COMMANDS.items():
        assert f"cw {name} " in shown
        assert summary[1:] in shown
    assert "~/.clockwork/mesh.key" in shown
    assert "cw show version -w 'sys.fqdn=/^web/' --fold" in shown


@pytest.mark.parametrize(("name", "schema"), [("meshd", MeshdConf), ("cogd", CogdConf), ("fact", CogdConf)])
def test_pages_of_what_reads_a_configuration_have_every_key(
    name: str, schema: type[MeshdConf | CogdConf]
) -> None:
    shown = read_by(GROFF, page(name, COMMANDS))
    for key in keys_of(schema):
        assert f"{key.path} = " in shown
        assert f"{key.sentence} Expected: {key.kind.expected}." in shown
    assert str(schema.FILE) in shown


@pytest.mark.parametrize("name", [name for name in cw.ROLES if name not in ("localsys", "job")])
def test_pages_of_roles_have_what_their_help_has(name: str) -> None:
    parser = parser_of(name, cw.ROLES[name][0], COMMANDS)
    shown = read_by(GROFF, page(name, COMMANDS))
    assert " ".join((parser.description or "").split()) in shown
    for action in parser.actions():
        assert ", ".join(action.option_strings) in shown
        assert parser.told(action)[1:] in shown
    for line in (parser.epilog or "").splitlines()[1:]:
        assert line.split("  ")[1] in shown


def test_the_page_of_localsys_has_every_action() -> None:
    shown = read_by(MANDOC, page("localsys", COMMANDS))
    assert all(f"{name} {row.words}".strip() in shown for name, row in ACTIONS.items())


def test_the_page_of_job_has_what_its_help_has() -> None:
    shown = read_by(GROFF, page("job", COMMANDS))
    for words in (*USAGES, *EXAMPLES, " ".join(NOTE), "--rerun failed|missing|all"):
        assert words in shown
    assert all(words in usage() for words in (*USAGES, *EXAMPLES, *NOTE))


NASTY = [
    ".SH x", "'br", "\\fBx\\n(.g\\*x", '"a" \\" b', "a-b --c `d` ~/e ^f", "..", "…—é", "\\", "-",
    "'sys.fqdn=/^web/'",
]  # fmt: skip


@pytest.mark.parametrize("reader", [MANDOC, GROFF])
def test_every_character_is_shown_as_it_is(reader: list[str]) -> None:
    made = Page("x", 1, "2026-11-29", "x")
    made.section("NAME")
    for text in NASTY:
        made.row(text, f"begin {text} end")
        made.text(f"{text} first")
        made.line(text)
    shown = read_by(reader, str(made))
    for text in NASTY:
        assert f"{text} begin {text} end {text} first {text}" in shown


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Zl", "Zp", "Cc"]), max_size=200))
def test_no_text_is_a_request(text: str) -> None:
    assert escaped(text).isascii()
    assert not escaped(text).startswith((".", "'"))
    made = Page("x", 1, "2026-11-29", "x")
    made.text(text)
    assert not [line for line in str(made).splitlines()[2:] if line.startswith((".", "'"))]


def test_a_page_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cw.main(["man", "meshd"]) == 0
    assert capsys.readouterr().out == page("meshd", COMMANDS)
    assert cw.main(["man", "mehsd"]) == 2
    assert capsys.readouterr().err.endswith("got 'mehsd': did you mean 'meshd'?\n")


def test_the_manual_is_written(tmp_path: Path) -> None:
    manual.main(tmp_path / "man")
    written = {path.name: path.read_text() for path in (tmp_path / "man").iterdir()}
    assert written == {f"{title}.{section}": page(name, COMMANDS) for title, (name, section) in PAGES.items()}
