import subprocess
import sys

import pytest

from reconciler.errors import InvalidInput
from reconciler.render import FORMATS, check_format, render
from tests.render.reports import PLANNED, REPORTS


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", REPORTS)
def test_every_report_renders_in_every_format_and_ends_with_a_line_break(name, format):
    text = render(REPORTS[name], format)
    assert text.endswith("\n")
    text.encode("utf-8")


@pytest.mark.parametrize(
    ("format", "hint"),
    [
        ("jsn", "Did you mean `json`?"),
        ("azuredevops", "Did you mean `azure-devops`?"),
        ("JSON5-with-comments", "Formats: text, json, markdown, github, junit, sarif, azure-devops, gitlab."),
    ],
)
def test_an_unknown_format_names_the_nearest_one(format, hint):
    with pytest.raises(InvalidInput, match="there is no format") as error:
        check_format(format)
    assert hint in error.value.hint
    with pytest.raises(InvalidInput):
        render(PLANNED, format)


def test_plain_text_imports_no_other_format_and_no_terminal_library():
    code = (
        "import sys; from reconciler.render import render; from tests.render.reports import PLANNED;"
        "render(PLANNED, 'text', color=True);"
        "heavy = {'rich', 'xml', 'reconciler.render.sarif', 'deepdiff'};"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
