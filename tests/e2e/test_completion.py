"""Completion in the shells themselves: real keys on a terminal in bash and zsh, fish's own `complete -C`."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import PATIENCE
from tests.roles.test_seen import HOSTILE, record

FIRST, PROMPT = "FIRST> ", "READY> "
TAB, ALL = "\t", "\x1b*"
"""Keys: complete; put in all that there is."""
TELL = "\x18p"
"""The key at which a shell writes its line into the test's pipe, and begins another."""

BASH = """
source <(cw completion bash)
tell() {{ printf '%s\\n' "$READLINE_LINE" >'{pipe}'; READLINE_LINE=; }}
bind -x '"\\C-xp": tell'
PS1='{prompt}'
"""
ZSH = """
autoload -Uz compinit; compinit -u -D
source <(cw completion zsh)
zstyle ':completion:*' completer _all_matches _complete
zstyle ':completion:*' insert yes
tell() {{ print -r -- $BUFFER >'{pipe}'; BUFFER=; zle reset-prompt }}
zle -N tell; bindkey '^Xp' tell; bindkey '^I' expand-or-complete
PS1='{prompt}'
"""
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], BASH),
    "zsh": (["zsh", "-f", "-i"], ZSH),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, cw_file: Path) -> Path:
    """A user's home: files whose names a shell could mind, and records of what hostile nodes answered."""
    home = tmp_path_factory.mktemp("home")
    (home / "bin").mkdir()
    (home / "bin" / "cw").symlink_to(cw_file)
    (home / "a b").mkdir()
    for name in ("x y.toml", "$(touch pwned).toml", "`touch pwned`;touch pwned.key"):
        (home / name).touch()
    lines = "".join(f"{name}=1\n" for name in (*HOSTILE, "role", "rack:row")).encode()
    names = (*HOSTILE, "web01.example.com", "web02.example.com", "db01.example.com")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(home / ".local" / "state"))
        record("show facts", dict.fromkeys(names, lines))
        record('exec --shell "touch pwned; $(touch pwned) `touch pwned` %F{red}"', {})
    return home


def environment(home: Path) -> dict[str, str]:
    path = f"{home / 'bin'}:{os.environ['PATH']}"
    return {"HOME": str(home), "PATH": path, "TERM": "dumb", "LANG": "C.UTF-8", "INPUTRC": "/dev/null"}


class Typist:
    """Somebody at an interactive shell, on a terminal of their own."""

    def __init__(self, shell: str, home: Path, directory: Path) -> None:
        words, setup = SHELLS[shell]
        pipe = directory / "line"
        os.mkfifo(pipe)
        self._pipe = os.open(pipe, os.O_RDWR)
        script = directory / "setup"
        script.write_text(setup.format(prompt=PROMPT, pipe=pipe))
        self._terminal, theirs = pty.openpty()
        self._process = subprocess.Popen(
            ["setsid", "-c", *words],
            cwd=home,
            env={**environment(home), "PS1": FIRST},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self._heard(self._terminal, FIRST)
        self._type(f"source {script}\n")
        self._heard(self._terminal, PROMPT)

    def line(self, typed: str, key: str = TAB) -> str:
        """The line that it is once the key is pressed behind what is typed."""
        self._type(typed + key + TELL)
        return self._heard(self._pipe, "\n").removesuffix("\n")

    def _type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def _heard(self, descriptor: int, end: str) -> str:
        """What is written there until the end is; what the terminal shows is read in any case."""
        heard, shown = b"", b""
        deadline = time.monotonic() + PATIENCE
        while end not in heard.decode(errors="replace"):
            ready, _, _ = select.select(
                [descriptor, self._terminal], [], [], max(0, deadline - time.monotonic())
            )
            assert ready, shown
            if self._terminal in ready:
                shown += os.read(self._terminal, 65536)
                heard = shown if descriptor == self._terminal else heard
            if descriptor in ready and descriptor != self._terminal:
                heard += os.read(descriptor, 65536)
        return heard.decode()

    def leave(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)
        os.close(self._pipe)


@pytest.fixture(scope="module", params=list(SHELLS))
def typist(
    request: pytest.FixtureRequest, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Typist]:
    typist = Typist(request.param, home, tmp_path_factory.mktemp("shell"))
    yield typist
    typist.leave()


TYPED = [
    ("cw sho", "cw show "),
    ("true; A=1 cw sho", "true; A=1 cw show "),
    ("bin/cw pin", "bin/cw ping "),
    ("~/bin/cw pin", "~/bin/cw ping "),
    ("cw mesh show ver", "cw mesh show version "),
    ("cw package nginx inst", "cw package nginx install "),
    ("cw ping --on", "cw ping --only "),
    ("cw ping --only=fa", "cw ping --only=failed "),
    ("cw cert --type=us", "cw cert --type=user "),
    ("cw meshd --set broker.l", "cw meshd --set broker.listen="),
    ("cw ping -w ro", "cw ping -w role="),
    ("cw ping -w 'ro", "cw ping -w 'role="),
    ('cw ping -w "rack:r', 'cw ping -w "rack:row='),
    ("cw ping -w rack:r", "cw ping -w rack:row="),
    ("cw ping -w sys.fqdn=d", "cw ping -w sys.fqdn=db01.example.com "),
    ("cw ping -w 'sys.fqdn=d", "cw ping -w 'sys.fqdn=db01.example.com' "),
    ("cw show fact rack:", "cw show fact rack:row "),
    ("cw ping -c x", "cw ping -c x\\ y.toml "),
    ("cw ping --config=x", "cw ping --config=x\\ y.toml "),
    ("cw ping -c '$(", "cw ping -c '$(touch pwned).toml' "),
    ("cw ping -k \\`", "cw ping -k \\`touch\\ pwned\\`\\;touch\\ pwned.key "),
    ("cw init a", "cw init a\\ b/"),
    ("cw nonsense ", "cw nonsense "),
    ("cw ping -w '$(touch pwned)", "cw ping -w '$(touch pwned)"),
    ("cw '$(touch pwned)' ", "cw '$(touch pwned)' "),
    ("cw ping -t ", "cw ping -t "),
    ("cw job 2", "cw job 2 "),
]


@pytest.mark.parametrize(("typed", "line"), TYPED)
def test_a_key_completes_the_word(typist: Typist, home: Path, typed: str, line: str) -> None:
    assert typist.line(typed) == line
    assert not (home / "pwned").exists()


def test_all_words_are_there(home: Path, tmp_path: Path) -> None:
    """Of names that hostile nodes gave, those alone in which no shell sees anything."""
    typist = Typist("bash", home, tmp_path)
    assert typist.line("cw ping --only ", ALL) == "cw ping --only failed lost ok optout "
    assert typist.line("cw show fact ", ALL) == "cw show fact b rack:row role "
    assert typist.line("cw ping -w sys.fqdn=web", ALL) == (
        "cw ping -w sys.fqdn=web01.example.com web02.example.com "
    )
    assert typist.line("cw ping --where='sys.fqdn=d") == "cw ping --where='sys.fqdn=db01.example.com' "
    typist.leave()
    assert not (home / "pwned").exists()


IN_FISH = [
    ("cw sho", ["show\twhat nodes know: version, facts, acls, a package, service, file, user, group"]),
    ("~/bin/cw pin", ["ping\twhich nodes answer"]),
    ("cw package nginx inst", ["install\tinstalls the latest, or that version"]),
    ("cw ping --only=", ["--only=failed", "--only=lost", "--only=ok", "--only=optout"]),
    ("cw meshd --te", ["--test\tcheck configuration, keys and permissions and exit"]),
    ("cw show fact ", ["b", "rack:row", "role"]),
    ("cw ping -w '", ["b=", "rack:row=", "role="]),
    ("cw ping -w 'sys.fqdn=d", ["sys.fqdn=db01.example.com"]),
    ("cw ping --where=sys.fqdn=d", ["--where=sys.fqdn=db01.example.com"]),
    ("cw ping -c x", ["x y.toml"]),
    ("cw ping --config=x", ["--config=x y.toml"]),
    ("cw ping -c '$(", ["$(touch pwned).toml"]),
    ("cw init a", ["a b/"]),
    (
        "cw job ",
        ["1\tshow facts", '2\texec --shell "touch pwned; $(touch pwned) `touch pwned` %F{r'],
    ),
    ("cw '$(touch pwned)' ", []),
    ("cw nonsense ", []),
]


@pytest.mark.parametrize(("line", "answer"), IN_FISH)
def test_fish(home: Path, line: str, answer: list[str]) -> None:
    script = "source (cw completion fish | psub); complete -C$argv[1]"
    ran = subprocess.run(
        ["fish", "--no-config", "-c", script, line],
        cwd=home,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == answer
    assert not (home / "pwned").exists()


def test_zsh_finds_it_by_its_name(home: Path, tmp_path: Path) -> None:
    """In a directory of $fpath it is a function that zsh loads at the first key."""
    functions = tmp_path / "functions"
    functions.mkdir()
    cw = home / "bin" / "cw"
    (functions / "_cw").write_bytes(subprocess.check_output([cw, "completion", "zsh"]))
    script = "fpath=($1 $fpath); autoload -Uz compinit; compinit -u -D; print -r -- $_comps[cw]"
    ran = subprocess.run(
        ["zsh", "-f", "-c", script, "zsh", functions],
        env=environment(home),
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ran.stdout, ran.stderr) == ("_cw\n", "")
