"""Every ```python block of the prose runs, in order, page by page.

A block with prompts is a doctest whose output counts. A block marked ```python no-run only shows.
"""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = page.read_text()
    world: dict = {"__name__": page.stem}
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        if ">>>" in block[1]:
            _run_doctest(block[1], world, page.name, line)
        else:
            # Padding keeps the page's line numbers in tracebacks.
            exec(compile("\n" * line + block[1], str(page), "exec"), world)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:\s]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def _run_doctest(source: str, world: dict, name: str, line: int) -> None:
    example = doctest.DocTestParser().get_doctest(source, world, name, name, line)
    report: list[str] = []
    failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(
        example, out=report.append, clear_globs=False
    )
    world.update(example.globs)
    assert not failed, "".join(report)
