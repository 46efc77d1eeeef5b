"""The blocks of code on a page, and what each says of how it can be run."""

import re
from dataclasses import dataclass
from pathlib import Path

LANGUAGES = ("sh", "python", "toml", "sql", "text")
_BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^>]*) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        line: the line of the page at which its code begins, from 1.
        language: what it is written in; text is output, and is not run.
        code: its lines.
        not_run: why it cannot be run; None if it can.
        needs: the modules without which it cannot be run.
    """

    line: int
    language: str
    code: str
    not_run: str | None
    needs: tuple[str, ...]

    @property
    def commands(self) -> list[str]:
        """The lines of a shell block, without comments."""
        return [line.split("  #")[0].strip() for line in self.code.splitlines() if line.strip()]


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    fences = [line for line in text.splitlines() if line.lstrip().startswith("```")]
    found = list(_BLOCK.finditer(text))
    assert 2 * len(found) == len(fences), f"{page} has a fence without a language, indented, or not closed"
    return [_block(match, text) for match in found]


def _block(match: re.Match[str], text: str) -> Block:
    mark = match["mark"] or ""
    key, _, value = mark.partition(": ")
    assert not mark or (key in ("not run", "needs") and value), f"<!-- {mark} --> is no mark of a block"
    return Block(
        line=text.count("\n", 0, match.start("code")) + 1,
        language=match["language"],
        code=match["code"],
        not_run=value if key == "not run" else None,
        needs=tuple(value.split(", ")) if key == "needs" else (),
    )
