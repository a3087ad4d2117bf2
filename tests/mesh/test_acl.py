"""Access rules: every sentence of mesh.md "Access rules"."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.acl import (
    EFFECTS,
    RULES_LIMIT,
    AclError,
    Grant,
    Rule,
    Verdict,
    Who,
    judge,
    line_of,
    parse,
    permitted,
)
from mesh.words import canonical, quote, split
from vm.opcodes import Effect

ALLOW, DENY, NONE = Verdict.ALLOW, Verdict.DENY, Verdict.NONE
USER, GROUP, ALL = Who.USER, Who.GROUP, Who.ALL


@pytest.mark.parametrize(
    ("line", "rule", "text"),
    [
        ('allow joe "ping"', Rule(ALLOW, USER, "joe", ("ping",), False, False), None),
        ('deny joe "ping"', Rule(DENY, USER, "joe", ("ping",), False, False), None),
        ('allow %ops "show *"', Rule(ALLOW, GROUP, "ops", ("show",), True, False), None),
        ('allow ALL "show version"', Rule(ALLOW, ALL, "", ("show", "version"), False, False), None),
        ('allow joe "ping" final', Rule(ALLOW, USER, "joe", ("ping",), False, True), None),
        ("allow ALL ALL", Rule(ALLOW, ALL, "", (), True, False), None),
        ("allow root ALL final", Rule(ALLOW, USER, "root", (), True, True), None),
        ('allow %systems "*"', Rule(ALLOW, GROUP, "systems", (), True, False), "allow %systems ALL"),
        ("deny joe *", Rule(DENY, USER, "joe", (), True, False), "deny joe ALL"),
        ('deny joe "ALL"', Rule(DENY, USER, "joe", (), True, False), "deny joe ALL"),
        (r'deny joe "\"ALL\""', Rule(DENY, USER, "joe", ("ALL",), False, False), None),
        ('deny joe "ALL *"', Rule(DENY, USER, "joe", ("ALL",), True, False), None),
        ('deny joe "x ALL"', Rule(DENY, USER, "joe", ("x", "ALL"), False, False), None),
        (r'deny joe "\"*\""', Rule(DENY, USER, "joe", ("*",), False, False), None),
        (r'deny joe "a \"*\" b \"c*\" *"', Rule(DENY, USER, "joe", ("a", "*", "b", "c*"), True, False), None),
        (
            r'allow joe "exec -- echo \"a b\" \"\\\"\" \"\" #x"',
            Rule(ALLOW, USER, "joe", ("exec", "--", "echo", "a b", '"', "", "#x"), False, False),
            r'allow joe "exec -- echo \"a b\" \"\\\"\" \"\" \"#x\""',
        ),
        (r'allow "DOM\\joe" "ping"', Rule(ALLOW, USER, "DOM\\joe", ("ping",), False, False), None),
        ('allow "%domain users" ALL', Rule(ALLOW, GROUP, "domain users", (), True, False), None),
        ('allow "joe" "ping"', Rule(ALLOW, USER, "joe", ("ping",), False, False), 'allow joe "ping"'),
        ('allow %ALL "ping"', Rule(ALLOW, GROUP, "ALL", ("ping",), False, False), None),
        (
            '  allow\tjoe   " ping  x "  # why "not',
            Rule(ALLOW, USER, "joe", ("ping", "x"), False, False),
            'allow joe "ping x"',
        ),
        ('allow joe "ping"\r', Rule(ALLOW, USER, "joe", ("ping",), False, False), 'allow joe "ping"'),
        ('allow joe "ping" #final', Rule(ALLOW, USER, "joe", ("ping",), False, False), 'allow joe "ping"'),
        ('allow all "ping"', Rule(ALLOW, USER, "all", ("ping",), False, False), None),
        ("allow joe ALL effect reads", Rule(ALLOW, USER, "joe", (), True, False, "", "reads"), None),
        ("allow joe ALL as www-data", Rule(ALLOW, USER, "joe", (), True, False, "www-data"), None),
        ('allow x ALL as "a b" effect pure', Rule(ALLOW, USER, "x", (), True, False, "a b", "pure"), None),
        (
            "allow joe ALL effect executes as final final # x",
            Rule(ALLOW, USER, "joe", (), True, True, "final", "executes"),
            "allow joe ALL final as final effect executes",
        ),
        ("deny joe ALL final", Rule(DENY, USER, "joe", (), True, True), None),
        ('allow allow "final" final', Rule(ALLOW, USER, "allow", ("final",), False, True), None),
    ],
)  # fmt: skip
def test_a_line_is_a_rule_and_a_rule_is_one_line(line: str, rule: Rule, text: str | None) -> None:
    assert parse(line, "acl") == (rule,)
    assert line_of(rule) == (text or line)
    assert parse(line_of(rule), "acl") == (rule,)


FORM = 'expected allow|deny USER|%GROUP|ALL "PATTERN"|ALL [final] [as USER] [effect EFFECT]'
DENIED = "expected as and effect behind allow only: what is denied does not run"
END = "expected final, as USER, effect EFFECT or the end of the line, got: "
STAR = "expected * only as the last word of a pattern, got: "
WHOM = "expected USER, %GROUP or ALL, got: "


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("allow", FORM),
        ("allow joe", FORM),
        ('allow joe "ping" final final', END + "final"),
        ("allow joe show version final", END + "version (a pattern of several words stands in quotes)"),
        ('allow joe "ping" as', END + "as"),
        ('allow joe "ping" effect', END + "effect"),
        ('allow joe "ping" effect "reads"', END + "effect"),
        ('allow joe "ping" "as" www', END + "as"),
        ('allow joe "ping" as www as www', END + "as"),
        ('allow joe "ping" effect pure effect pure', END + "effect"),
        ('allow joe "ping" effect none', "expected pure, reads, writes, executes behind effect, got: none"),
        ('allow joe "ping" effect READS', "expected pure, reads, writes, executes behind effect, got: READS"),
        ('allow joe "ping" as %www', "expected a USER behind as, got: %www"),
        ('allow joe "ping" as ""', "expected a USER behind as, got: "),
        ('allow joe "ping" as -x', "expected a USER behind as, got: -x"),
        ('deny joe "ping" as www', DENIED),
        ("deny joe ALL effect reads", DENIED),
        ('Allow joe "ping"', "expected allow or deny, got: Allow"),
        ('permit joe "ping"', "expected allow or deny, got: permit"),
        ('"allow" joe "ping"', "expected allow or deny, got: allow"),
        ('\ufeffallow joe "ping"', r"expected allow or deny, got: \ufeffallow"),
        ('allow joe "ping" last', END + "last"),
        ('allow joe "ping" "final"', END + "final"),
        ('allow joe "ping" Final', END + "Final"),
        ("allow joe ALL last", END + "last"),
        (
            "allow joe show acls",
            END + "acls (a pattern of several words stands in quotes)",
        ),
        ("allow joe ping", 'expected "PATTERN" in quotes, or ALL, got: ping'),
        ("allow joe all", 'expected "PATTERN" in quotes, or ALL, got: all'),
        ("allow joe show final", 'expected "PATTERN" in quotes, or ALL, got: show'),
        ('allow joe ""', 'expected words in the pattern; "*" is any command'),
        ('allow joe "  "', 'expected words in the pattern; "*" is any command'),
        ('allow joe "* version"', STAR + "* version"),
        ('allow joe "show * *"', STAR + "show * *"),
        ('allow joe "sh*"', STAR + "sh*"),
        ('allow joe "show ver*"', STAR + "show ver*"),
        ('allow joe "**"', STAR + "**"),
        ('allow * "ping"', WHOM + "*"),
        ('allow % "ping"', WHOM + "%"),
        ('allow "" "ping"', WHOM),
        ('allow -joe "ping"', WHOM + "-joe"),
        ('allow :ops "ping"', WHOM + ":ops"),
        ('allow %%ops "ping"', WHOM + "%%ops"),
        ('allow "jo\te" "ping"', WHOM + r"jo\te"),
        (f'allow {"j" * 256} "ping"', WHOM + "j" * 80 + "…"),
        ('allow joe "ping', 'expected a word or a whole quoted string at: "ping'),
        ('allow joe "ping"final', "expected a space before: final"),
        (r'allow joe "say \"hi"', r'expected a word or a whole quoted string at: "hi'),
        (r'allow joe "a\\b"', r"expected a space before: \b"),
        ('allow joe "ping\0"', "expected no NUL"),
        (f'allow joe "{"x" * 4096}"', "expected at most 4096 characters, got 4108"),
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused_with_its_place(line: str, sentence: str) -> None:
    with pytest.raises(AclError) as caught:
        parse(f'# rules\n\nallow ALL "ping"\n{line}\nworse\n', "site/acl")
    assert str(caught.value) == f"site/acl:4: {sentence}"
    assert caught.value.status == 2


def test_comments_empty_lines_order_and_duplicates() -> None:
    text = '#!acl "\n\n   \n\t# x\nallow joe "b" # c\nallow joe "a"\r\nallow joe "b"\n#'
    assert [line_of(rule) for rule in parse(text, "acl")] == [
        'allow joe "b"',
        'allow joe "a"',
        'allow joe "b"',
    ]
    assert parse("", "acl") == ()


def test_a_list_is_bounded() -> None:
    line = "allow joe ALL\n"
    assert len(parse(line * RULES_LIMIT, "acl")) == RULES_LIMIT
    with pytest.raises(AclError, match=f"^acl:{RULES_LIMIT + 1}: expected at most {RULES_LIMIT} rules$"):
        parse(line * (RULES_LIMIT + 1), "acl")


@pytest.mark.parametrize(
    ("rules", "command", "verdict"),
    [
        # no match means no verdict here, and denied
        ("", "ping", NONE),
        ('allow ann "ping"', "ping", NONE),
        ('allow joe "show version"', "ping", NONE),
        # users, groups, everyone; whole names, which mind case
        ('allow joe "ping"', "ping", ALLOW),
        ('allow %ops "ping"', "ping", ALLOW),
        ('allow %staff "ping"', "ping", ALLOW),
        ('allow ALL "ping"', "ping", ALLOW),
        ('allow jo "ping"', "ping", NONE),
        ('allow joel "ping"', "ping", NONE),
        ('allow JOE "ping"', "ping", NONE),
        ('allow %op "ping"', "ping", NONE),
        ('allow %opsx "ping"', "ping", NONE),
        ('allow %joe "ping"', "ping", NONE),
        ('allow ops "ping"', "ping", NONE),
        ('allow %ALL "ping"', "ping", NONE),
        # whole words; the last may be *: any words, or none
        ('allow joe "show version"', "show version", ALLOW),
        ('allow joe "show version"', "show", NONE),
        ('allow joe "show version"', "show version x", NONE),
        ('allow joe "show"', "show version", NONE),
        ('allow joe "show *"', "show version", ALLOW),
        ('allow joe "show *"', "show fact a b", ALLOW),
        ('allow joe "show *"', "show", ALLOW),
        ('allow joe "show *"', "shows version", NONE),
        ('allow joe "show *"', "ping", NONE),
        ('allow joe "SHOW *"', "show version", NONE),
        (r'allow joe "show \"*\""', "show version", NONE),
        (r'allow joe "show \"*\""', 'show "*"', ALLOW),
        (r'allow joe "exec -- echo \"a b\""', 'exec -- echo "a b"', ALLOW),
        (r'allow joe "exec -- echo a b"', 'exec -- echo "a b"', NONE),
        # ALL and * match every command
        ("allow joe ALL", "ping", ALLOW),
        ('allow joe "*"', "ping", ALLOW),
        ('allow joe "*"', "show fact a", ALLOW),
        (r'allow joe "\"ALL\""', "ping", NONE),
        # in order: the last that matches wins
        ('deny ann ALL\nallow joe "ping"', "ping", ALLOW),
        ('allow joe ALL\ndeny joe "ping"', "ping", DENY),
        ('allow joe ALL\ndeny joe "ping"', "show version", ALLOW),
        ('allow joe "ping"\nallow %ops "show *"', "ping", ALLOW),
        # deny stops the search
        ('deny joe "ping"\nallow joe ALL', "ping", DENY),
        ('deny %ops "ping"\nallow joe "ping" final', "ping", DENY),
        ('deny ALL "ping"\nallow joe ALL', "show version", ALLOW),
        # final stops the search
        ('allow joe "ping" final\ndeny joe ALL', "ping", ALLOW),
        ('allow joe "ping" final\ndeny joe ALL', "show version", DENY),
        ('allow ann "ping" final\ndeny joe ALL', "ping", DENY),
        ('deny joe "ping" final\nallow joe ALL', "ping", DENY),
        # duplicates change nothing
        ('allow joe "ping"\nallow joe "ping"', "ping", ALLOW),
    ],
)
def test_judge(rules: str, command: str, verdict: Verdict) -> None:
    assert judge(parse(rules, "acl"), "joe", ("staff", "ops"), split(command)) is verdict


@pytest.mark.parametrize(
    ("lists", "allowed"),
    [
        ([], False),
        ([""], False),
        (['allow joe "ping"'], True),
        (['deny joe "ping"'], False),
        (['allow joe "ping"', ""], True),
        (["", 'allow joe "ping"'], True),
        (['allow joe "ping" final', 'deny joe "ping"'], False),
        (['deny joe "ping"', "allow ALL ALL final"], False),
        (["allow ann ALL", "allow %ops ALL"], True),
        (["allow ann ALL", 'allow joe "show *"'], False),
    ],
)
def test_lists_are_judged_apart_and_a_deny_stands(lists: list[str], allowed: bool) -> None:
    parsed = [parse(text, "acl") for text in lists]
    grant = Grant("") if allowed else None
    assert permitted(parsed, "joe", ["staff", "ops"], ("ping",)) == grant
    assert permitted(reversed(parsed), "joe", ["staff", "ops"], ("ping",)) == grant


@pytest.mark.parametrize(
    ("lists", "run_as"),
    [
        (["allow joe ALL as www"], "www"),
        (["allow joe ALL as www", "allow joe ALL"], "www"),
        (["allow joe ALL as www", "allow joe ALL as www"], "www"),
        (["allow joe ALL as www", "allow joe ALL as ftp"], None),
        (["allow joe ALL as www", "allow ann ALL as ftp"], "www"),
        (["allow joe ALL as www", "deny joe ALL"], None),
        (['allow joe ALL as www\nallow joe "ping"'], ""),
        (['allow joe "ping" final as www\nallow joe ALL'], "www"),
    ],
)
def test_who_it_runs_as_is_what_the_deciding_rules_say(lists: list[str], run_as: str | None) -> None:
    expected = None if run_as is None else Grant(run_as)
    parsed = [parse(text, "acl") for text in lists]
    assert (
        permitted(parsed, "joe", (), ("ping",)) == permitted(parsed[::-1], "joe", (), ("ping",)) == expected
    )


@pytest.mark.parametrize(("number", "granted"), list(enumerate(EFFECTS)))
def test_a_rule_grants_at_most_its_effect(number: int, granted: str) -> None:
    rules = parse(f"allow joe ALL effect {granted}", "acl")
    for worse, effect in enumerate(EFFECTS):
        assert judge(rules, "joe", (), ("ping",), effect) is (ALLOW if worse <= number else NONE)
    assert judge(rules, "joe", (), ("ping",)) is (ALLOW if granted == "executes" else NONE)


@pytest.mark.parametrize(
    ("rules", "effect", "verdict"),
    [
        ('allow joe ALL effect reads final\ndeny joe "exec *"', "pure", ALLOW),
        ('allow joe ALL effect reads final\ndeny joe "exec *"', "executes", DENY),
        ('allow joe ALL effect pure\nallow joe "exec *" effect executes', "executes", ALLOW),
        ('allow joe "exec *" effect executes\nallow joe ALL effect pure', "executes", ALLOW),
        ("deny joe ALL\nallow joe ALL effect pure", "pure", DENY),
    ],
)
def test_a_rule_that_does_not_grant_so_much_does_not_match(rules: str, effect: str, verdict: Verdict) -> None:
    assert judge(parse(rules, "acl"), "joe", (), ("exec", "--", "ls"), effect) is verdict


def test_effects_are_those_of_the_machine() -> None:
    assert tuple(effect.word for effect in Effect) == EFFECTS


def test_a_user_cannot_be_named_like_a_group_or_like_everyone() -> None:
    assert judge(parse('allow %ops "ping"', "acl"), "%ops", (), ("ping",)) is NONE
    assert judge(parse('allow ann "ping"', "acl"), "ALL", ("ALL",), ("ping",)) is NONE


name = st.from_regex(
    re.compile(r"[^\s%:*#\x00-\x1f\x7f-\x9f-][^:*\x00-\x1f\x7f-\x9f]{0,9}", re.ASCII), fullmatch=True
)
word = st.text(st.characters(exclude_characters="\0\n", codec="utf-8"), max_size=6) | st.text(
    '" \\*#AL', max_size=4
)
command = st.lists(word, min_size=1, max_size=4).map(tuple)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    who = draw(st.sampled_from(Who))
    subject = "" if who is ALL else draw(name.filter(lambda text: text != "ALL" and "\n" not in text))
    more = draw(st.booleans())
    words = draw(command | st.just(())) if more else draw(command)
    verdict = draw(st.sampled_from([ALLOW, DENY]))
    user = name.filter(lambda text: "\n" not in text)
    run_as = draw(st.just("") | user) if verdict is ALLOW else ""
    effect = draw(st.sampled_from(["", *EFFECTS])) if verdict is ALLOW else ""
    return Rule(verdict, who, subject, words, more, draw(st.booleans()), run_as, effect)


@given(st.lists(rules(), max_size=5).map(tuple))
def test_lines_of_rules_parse_back(given_rules: tuple[Rule, ...]) -> None:
    assert parse("\n".join(map(line_of, given_rules)), "acl") == given_rules


@given(command, command)
def test_a_command_copied_from_a_log_is_a_rule_for_itself_only(
    one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    if one == ("ALL",):
        return
    copied = parse(f"allow joe {quote(canonical(one))}", "acl")
    assert judge(copied, "joe", (), one) is ALLOW
    assert judge(copied, "joe", (), other) is (ALLOW if one == other else NONE)


@given(st.text() | st.text('allowdeny joe%"* \\#\n'))
def test_any_text_is_rules_or_refused_in_one_line(text: str) -> None:
    told = ""
    try:
        parse(text, "acl")
    except AclError as error:
        told = str(error)
    assert told.isprintable()
