"""Builds the documentation: ``python docs/_site`` writes the site to ``build/site``, and fails on anything broken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml
from assemble import assemble
from check import problems
from navigation import navigation

ROOT = Path(__file__).resolve().parents[2]


def build(out: Path) -> list[str]:
    """Build the site in a folder, and return what is wrong with it.

    Args:
        out: the folder; it gets ``pages`` (the sources), ``mkdocs.yml`` and ``site``.

    Raises:
        subprocess.CalledProcessError: the generator refused a page; it has said why.
    """
    pages = out / "pages"
    assemble(pages)
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    settings |= {"docs_dir": "pages", "site_dir": "site", "nav": navigation(pages)}
    (out / "mkdocs.yml").write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), encoding="utf-8")
    generator = Path(sys.executable).with_name("zensical")
    command = [str(generator), "build", "--strict", "--clean", "--config-file", str(out / "mkdocs.yml")]
    subprocess.run(command, check=True, cwd=out, env={**os.environ, "NO_COLOR": "1"})
    return list(problems(out / "site"))


def main() -> int:
    """Build the site, say what is wrong, and return the exit code."""
    try:
        found = build(ROOT / "build" / "docs")
    except subprocess.CalledProcessError:
        sys.stderr.write("the documentation has problems, see above\n")
        return 1
    for each in found:
        sys.stderr.write(f"{each}\n")
    sys.stdout.write(f"{ROOT / 'build' / 'docs' / 'site' / 'index.html'}: open it in a browser\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
