"""Ctrl-C at a client, for real: what has come is printed, and the broker and its nodes go on."""

import signal

from tests.e2e.harness import Site


def test_ctrl_c_ends_the_waiting_for_a_node_that_hangs(site: Site) -> None:
    site.broker()
    agents = site.agents({"web01": {}, "web02": {}})
    agents["web02"].signal(signal.SIGSTOP)
    asking = site.start_asking("ping", "-t", "300")
    asking.wait_for_output(r"^web01\.example\.com 0 pong$")
    asking.signal(signal.SIGINT)
    asked = asking.finished()
    assert (asked.status, asked.output, asked.errors) == (
        130,
        "web01.example.com 0 pong\n",
        "1 answered: 1 ok\n",
    )

    agents["web02"].signal(signal.SIGCONT)
    assert site.ask("ping", "-w", "sys.fqdn=web01.example.com").output == "web01.example.com 0 pong\n"
