"""The notebooks run from the first cell to the last, as a reader runs them."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

FOLDER = Path(__file__).parents[1] / "examples" / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
AFRESH = "%reset -f\n%matplotlib inline"


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def test_cells_run():
    # In one kernel, one notebook after the other: a start takes longer than most of them.
    whole = nbformat.v4.new_notebook()
    for name in NAMES:
        whole.cells.append(nbformat.v4.new_code_cell(f"{AFRESH}\n# {name}"))
        whole.cells.extend(read(name).cells)
    nbclient.NotebookClient(whole, timeout=120, resources={"metadata": {"path": FOLDER}}).execute()
    shown = {kind for cell in whole.cells for output in cell.get("outputs", ())
             for kind in output.get("data", ())}  # fmt: skip
    assert {"image/png", "image/svg+xml", "text/html"} <= shown


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_a_run_is_in_the_file(name):
    notebook = read(name)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_notebooks_are_in_the_list():
    readme = (FOLDER.parent / "README.md").read_text()
    assert [name for name in NAMES if f"(notebooks/{name}.ipynb)" not in readme] == []
