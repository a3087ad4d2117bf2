"""`cw completion`: what a shell needs to complete commands, some lines that ask cw itself at a key press."""

from __future__ import annotations

from collections.abc import Sequence
from pkgutil import get_data
from typing import TYPE_CHECKING

from mesh.words import QuotingError, split_shell
from roles.completing import Candidate, Choice, Commands, Files, choice

if TYPE_CHECKING:
    from roles.arguments import Parser

EXAMPLES = """\
  cw completion bash > /etc/bash_completion.d/cw
  cw completion zsh > /usr/local/share/zsh/site-functions/_cw
  cw completion fish > /etc/fish/completions/cw.fish
  source <(cw completion bash)                           in this shell alone
"""

SHELLS = ("bash", "zsh", "fish")

ASKED = "--words"
"""What the scripts ask: `--words bash WORD LINE`, where WORD is what bash takes for the one being written and
LINE all up to the cursor; `--words zsh|fish WORD…`, the last of which is being written.

The answer is one word a line, for zsh and fish with a tab and a sentence; or an exit status alone.
"""

STATUS = {Files.FILES: 10, Files.DIRECTORIES: 11}
"""Exit statuses that say: names of those, which you know yourself."""


def main(argv: Sequence[str], commands: Commands) -> int:
    """Print the script, or answer it; 10 and 11 ask the shell for names of files, of directories."""
    match argv:
        case [asked, "bash", word, line] if asked == ASKED:
            return _answered(for_bash(line, word, commands))
        case [asked, "zsh" | "fish", *words, current] if asked == ASKED:
            found = choice(words, current, commands)
            if not isinstance(found, Files):
                found = [Candidate(f"{word}\t{sentence}") for word, sentence in found]
            return _answered(found)
    shell = parser(commands).parse_args(argv).shell
    print((get_data("roles", f"shells/cw.{shell}") or b"").decode(), end="")
    return 0


def parser(_: Commands) -> Parser:
    """The command line."""
    from roles.arguments import Parser

    words = Parser("completion", "Prints a script that completes commands, for the shell to read.", EXAMPLES)
    words.add_argument("shell", choices=SHELLS, help="which shell: bash, zsh or fish", metavar="SHELL")
    return words


def for_bash(line: str, word: str, commands: Commands) -> Choice:
    """What may stand at the end of the line, without what bash holds for finished.

    To bash a new word begins behind each `=` and `:`. It closes a quote behind the only word that there is,
    but behind `sys.fqdn=` there is more to come: another word, which nobody sees, keeps the quote open.
    """
    words, quote = line_words(line)
    *before, current = words
    found = choice(before[1:], current, commands)
    word = word.lstrip("'\"")
    if isinstance(found, Files):
        return found
    if not current.endswith(word):
        return []
    if quote and len(found) == 1 and found[0].word.endswith("="):
        found.append(Candidate(f"{found[0].word}/"))
    return [Candidate(one.word[len(current) - len(word) :]) for one in found]


def line_words(line: str) -> tuple[list[str], str]:
    """The words of a command line of which the last is being written, and the quote that this stands in."""
    for quote in ("", "'", '"'):
        try:
            *words, last = split_shell(f"{line}x{quote}")
        except QuotingError:
            continue
        return [*words, last[:-1]], quote
    return ["", ""], ""


def _answered(found: Choice) -> int:
    if isinstance(found, Files):
        return STATUS[found]
    print("".join(f"{one.word}\n" for one in found), end="")
    return 0
