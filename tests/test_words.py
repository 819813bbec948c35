from __future__ import annotations

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
FILES = [
    *sorted((TOP / "src").rglob("*.py")),
    *sorted((TOP / "src").rglob("*.lua")),
    *sorted((TOP / "docs").glob("*.md")),
    *sorted((TOP / "docs" / "man").glob("*")),
    *sorted((TOP / ".github").rglob("*.md")),
    *sorted((TOP / ".github").rglob("*.yml")),
    TOP / "README.md",
]

# Phrases that made a native reader stop, and the words of the glossary that others replace. Name the actor, use the
# field's verb, and give the noun, the unit or the limit.
BANNED = {
    "vague quantities": r"so many|so much|for so long|of (?:its|his|their) own|if some|there (?:is|are) none",
    "vague persons": r"nobody|somebody|anybody|for a person|whoever|ours",
    "vague verbs": r"tells?|told|telling|(?:is|are) left alone|what (?:comes|waits|is kept|is told)|goes well|as ever",
    "obligations": r"(?:has|have) to be|will have been|(?:is|are) to (?!the\b|an?\b|each\b|our\b|chat\b|Chat\b)[a-z]+",
    "relative clauses as subjects": (
        r"(?-i:(?<![\w`,;:|(]) ?(?:What|Who|Whoever|Whatever) [a-z' ]+ (?:is|are|was|has|can|does)\b(?![^.]*\?))"
    ),
    "translations": (
        r"no number of|is no error|such a one|at fault|take(?:s|n)? out|lets? .{1,20} wait|in the way of|how it went"
        r"|meanwhile posted|posted meanwhile|not worth|puzzl|a line each|one row a|as (?:it|they) comes?"
    ),
    "sentences of the style guide": (
        r"stay, and post|messages that one text may|attempts after the first|however often|what the CI"
        r"|failures in a row that make|have to wait on|not known whether|would not mend|notices nothing|may hang, for"
        r"|pasts of jobs|posts it later than|is worth telling|others post to"
    ),
    "sentences that readers stumbled over": (
        r"makes no difference there|deadline grows by|the job learns it|counts as told|goes behind those|be it in"
        r"|use up the time|certain only with|without a limit|cleaned as for|all wait for the same|cut texts by"
    ),
    "old names": (
        r"--spool-first|--keep-for|--remind(?!-)|--last(?![\w-])|--after(?!-)|outbox drop|profiles remove"
        r"|CHATPOST_STORE|fleet's store|sealed"
    ),
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TOP)))
def test_banned_words(path: Path) -> None:
    """No text uses a phrase that readers stumbled over, or a word that the glossary replaces."""
    text = path.read_text()
    found = []
    for reason, pattern in BANNED.items():
        for match in re.finditer(rf"(?i)(?<![\w-])(?:{pattern})(?![\w-])", text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(f"{path.relative_to(TOP)}:{line}: {match[0]!r} ({reason})")
    assert not found, "\n".join(found)
