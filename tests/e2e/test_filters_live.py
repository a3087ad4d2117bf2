"""Which nodes a filter picks, and what a pattern that never ends costs: its own answer, and nobody else's."""

import contextlib
from collections.abc import Iterator

import pytest

from mesh.messages import Done, Error, Ok, Optin, Result
from tests.e2e.harness import Site
from tests.e2e.raw import Client, kinds, request, user_key

NODES = {
    "web01": {
        "role": "web",
        "site": "Berlin",
        "note": "two  words",
        "path": "/etc/hosts",
        "slash": "/",
        "sum": "a=b",
        "quoted": '"so"',
        "empty": "",
        "role.of:the_node-1": "yes",
        "big": "x" * 4096 + "needle",
        "near": "x" * 4090 + "needle",
    },
    "web02": {"role": "web", "site": "Paris", "path": "/etc/passwd"},
    "db01": {"role": "db", "site": "berlin", "evil": "a" * 60 + "b", "words": "word " * 800 + "!"},
}
ALL = "db01 web01 web02"


@pytest.fixture(scope="module")
def mesh(cw: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three nodes; no test changes anything here."""
    with Site(tmp_path_factory.mktemp("filters"), cw) as site:
        site.broker()
        site.agents(NODES)
        yield site


FILTERS = [
    # Equality minds case; white space around the operator is none of the value.
    (["role=web"], "web01 web02"),
    (["role = web"], "web01 web02"),
    (["role\t=\t web"], "web01 web02"),
    (["role=Web"], ""),
    (["site=berlin"], "db01"),
    (["note=two  words"], "web01"),
    (["note = two  words"], "web01"),
    (["note=two words"], ""),
    (["empty="], "web01"),
    (["sum=a=b"], "web01"),  # the first operator splits
    (["role.of:the_node-1=yes"], "web01"),
    (["sys.fqdn=web02.example.com"], "web02"),
    # The opposite of equality.
    (["role!=web"], "db01"),
    (["role != web"], "db01"),
    (["role!=Web"], ALL),
    (["sum!=a=c"], "web01"),
    # A pattern searches, and ignores case.
    (["site=/berlin/"], "db01 web01"),
    (["site = /ERL/"], "db01 web01"),
    (["site=/^b.*n$/"], "db01 web01"),
    (["site=/^erl/"], ""),
    (["sys.fqdn=/^web/"], "web01 web02"),
    (["path=//hosts$/"], "web01"),
    (["site=//"], ALL),
    (["role=/web|db/"], ALL),
    (["note=/two {2}words/"], "web01"),
    # The opposite of a pattern.
    (["site!=/berlin/"], "web02"),
    (["site != /^B/"], "web02"),
    (["role!=/nosuch/"], ALL),
    # A fact that a node does not have never matches, negated or not.
    (["nosuch=x"], ""),
    (["nosuch!=x"], ""),
    (["nosuch=/./"], ""),
    (["nosuch!=/./"], ""),
    (["nosuch="], ""),
    (["path!=/etc\\/hosts/"], "web02"),
    (["empty!=x"], "web01"),
    # "…" makes a value literal.
    (['path="/etc/hosts"'], "web01"),
    (['slash="/"'], "web01"),
    (['slash!="/"'], ""),
    (['role="web"'], "web01 web02"),
    (['site="/berlin/"'], ""),
    (['quoted=""so""'], "web01"),
    # All must match.
    (["role=web", "site=/./"], "web01 web02"),
    (["role=web", "site!=Paris"], "web01"),
    (["role=web", "role=db"], ""),
    (["role=web", "nosuch!=x"], ""),
    # A pattern sees 4 KiB of a value; equality sees all of it.
    (["big=/needle/"], ""),
    (["big!=/needle/"], "web01"),
    (["near=/needle/"], "web01"),
    (["big=" + "x" * 1000], ""),
]


@pytest.mark.parametrize(("filters", "matching"), FILTERS)
def test_which_nodes_a_filter_picks(mesh: Site, filters: list[str], matching: str) -> None:
    nodes = matching.split()
    with Client(mesh) as client:
        client.ask(request(mesh.user, "ping", filters=tuple(filters)), user_key(mesh))
        heard = client.hear_all()
    answered = [one.about.fqdn for one in heard if one.about and isinstance(one.message, Result)]
    assert sorted(answered) == [f"{node}.example.com" for node in nodes]
    assert heard[-1].message == Done(3, len(nodes), 3 - len(nodes), 0, 0, 0, 0)


MALFORMED = [
    "role",
    "=web",
    "ro le=web",
    "-role=web",
    "role=/web",
    'role="web',
    "role=/(/",
    "role=/*/",
    "role=/a{2,1}/",
]


@pytest.mark.parametrize("text", MALFORMED)
def test_a_filter_that_is_none_is_refused_before_it_is_sent(mesh: Site, text: str) -> None:
    asked = mesh.ask("ping", "-w", text, status=2)
    assert asked.output == ""
    assert asked.errors.startswith("cw: filter ")
    assert asked.errors.count("\n") == 1


@pytest.mark.parametrize("text", [*MALFORMED, "", "\0", "role=\0", "role=" + "x" * 1020, "a" * 4000])
def test_and_by_the_broker_if_it_comes_anyway(mesh: Site, text: str) -> None:
    with Client(mesh) as client:
        client.ask(request(mesh.user, "ping", filters=("role=web", text)), user_key(mesh))
        (answer,) = client.hear_all()
    assert isinstance(answer.message, Error)
    assert answer.message.code == "invalid"
    assert answer.message.sentence.startswith("filter ")


def test_patterns_that_take_long_to_compile(mesh: Site) -> None:
    """The broker gives all of a request's patterns one time limit, and is back in milliseconds."""
    filters = tuple(f"role=/{'(a|b)' * 200}{number}/" for number in range(64))
    with Client(mesh) as client:
        client.ask(request(mesh.user, "ping", filters=filters), user_key(mesh))
        heard = client.hear_all()
    (answer,) = [one.message for one in heard]
    assert isinstance(answer, Error)
    assert answer.code == "invalid"
    assert "too slow to compile" in answer.sentence
    assert mesh.ask("ping").lines == [f"{node}.example.com 0 pong" for node in ALL.split()]


CATASTROPHIC = [
    "evil=/(a+)+$/",
    "evil!=/(a+)+$/",
    "evil=/(a|aa)+$/",
    "evil=/(a|a)*$/",
    "evil=/^(([a-z])+.)+[A-Z]([a-z])+[0-9]$/",
    "words=/(.*)*(.*)*(.*)*z/",
    "words=/(\\w+\\s*)+$/",
    "words=/((((word )*)*)*)*x/",
]


@pytest.mark.parametrize("text", CATASTROPHIC)
def test_a_pattern_that_never_ends(mesh: Site, text: str) -> None:
    """It costs the one that has such a fact milliseconds, and its answer; the command does not run."""
    asked = mesh.ask("ping", "-w", text, status=1)
    assert asked.output == "db01.example.com 125 filter too slow\n"
    assert asked.errors == "1 answered: 1 failed; 2 opted out\n"


def test_others_are_answered_meanwhile(mesh: Site) -> None:
    """Forty such requests are before the agent when another asks; without the limit it would never answer."""
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(Client(mesh)) for _ in range(40)]
        for number, client in enumerate(slow):
            text = CATASTROPHIC[number % len(CATASTROPHIC)]
            client.ask(request(mesh.user, "show", "facts", filters=(text,)), user_key(mesh))
        for client in slow:
            assert client.hear().message == Ok(3)  # all of them are on the wire before the next asks
        assert mesh.ask("ping", "-w", "role=db").output == "db01.example.com 0 pong\n"
        for client in slow:
            heard = client.hear_all()
            assert kinds(heard) == ["Result", "Done"]
            assert heard[0].message == Result(125, b"filter too slow\n", b"", False, 0)
            assert heard[1].message == Done(3, 1, 2, 0, 0, 0, 0)


def test_a_plan_tells_who_would_run_it(mesh: Site) -> None:
    """Filters decide it too: OPTIN is the last word."""
    with Client(mesh) as client:
        asked = request(mesh.user, "ping", filters=("role=db",))._replace(mode="plan")
        client.ask(asked, user_key(mesh))
        heard = client.hear_all()
    assert [one.message for one in heard] == [Ok(3), Optin(), Done(3, 1, 2, 0, 0, 0, 0)]
