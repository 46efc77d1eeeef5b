"""Pages that show files of the repository as they are: examples, cards of policies, the changelog."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

EXAMPLES = """# Examples

The campaigns of the folder `examples/`, each of which takes minutes; its first lines say how to run it. A test runs
all of them, cut short.
"""
POLICIES = """# Bundled policies

Policies that come with molbuffer, by the names that configurations, commands and `lab.policy` take. `molbuffer sample
NAME` draws from one.
"""


def examples_page() -> str:
    """Return the page of the examples."""
    files = sorted((ROOT / "examples").glob("**/*.toml"))
    parts = [EXAMPLES]
    for file in files:
        if file.name == "pyproject.toml":
            continue
        name = file.relative_to(ROOT / "examples").as_posix()
        parts.append(
            f'## {name.removesuffix(".toml")}\n\n```toml title="examples/{name}"\n{file.read_text().strip()}\n```\n'
        )
    return "\n".join(parts)


def policies_page() -> str:
    """Return the page of the bundled policies, of their cards."""
    parts = [POLICIES]
    for card in sorted((ROOT / "samplers" / "bundled").glob("*/CARD.md")):
        text = re.sub(r"\]\(\.\./([\w-]+)/CARD\.md\)", r"](#\1)", card.read_text().strip())
        # One level below the title of this page.
        parts.append(re.sub(r"^#", "##", text, flags=re.MULTILINE) + "\n")
    return "\n".join(parts)


def changelog_page() -> str:
    """Return the changelog, with its links from this folder."""
    text = (ROOT / "CHANGELOG.md").read_text()
    return text.replace("](docs/", "](../")


def decisions_page() -> str:
    """Return the list of the decisions."""
    lines = [
        "# Decisions\n",
        "Why things are as they are, with what was tried and did not work, in the order in which it was decided.\n",
    ]
    for file in sorted((ROOT / "docs" / "design").glob("0*.md")):
        title = re.sub(r"^#+\s*", "", file.read_text().splitlines()[0])
        lines.append(f"- [{title}]({file.name})")
    return "\n".join(lines) + "\n"
