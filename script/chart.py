"""What the chart repeats: its values as a table in its README, the service's configuration in its schema."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from reconciler.service.config_schema import config_schema

CHART: Final = Path(__file__).resolve().parent.parent / "charts" / "reconciler"
_BEGIN: Final = "<!-- values: written by script/chart from values.yaml -->\n"
_END: Final = "<!-- end of values -->\n"


def schema(text: str) -> str:
    """values.schema.json, with the service's configuration as `config`.

    What the chart has defaults for need not be there; a chart without sources is refused when it is rendered,
    so that it can be linted without values.
    """
    whole = json.loads(text)
    service = config_schema()
    definitions = service.pop("$defs")
    del service["$schema"], service["required"]
    service["properties"]["sources"]["minItems"] = 0
    whole["properties"]["config"] = service
    whole["$defs"] = definitions
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def readme(text: str, values: str) -> str:
    """The chart's README, with a table of its values."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise SystemExit(f"charts/reconciler/README.md has no {_BEGIN.strip()} … {_END.strip()}")
    rows = "".join(
        f"| `{path}` | `{_shown(default)}` | {told} |\n" for path, default, told in documented(values)
    )
    return f"{before}{begin}\n| value | default | meaning |\n|---|---|---|\n{rows}\n{end}{after}"


def documented(values: str) -> Iterator[tuple[str, Any, str]]:
    """Dotted name, default and description of each value that a comment `# --` describes, in their order."""
    lines = values.splitlines()
    for path, node in _nodes(yaml.compose(values)):
        line = path_line(node)
        comment: list[str] = []
        while line and re.match(r"\s*#", lines[line - 1]):
            line -= 1
            comment.insert(0, lines[line].strip().removeprefix("#").strip())
        if comment and comment[0].startswith("-- "):
            yield path, _value(values, path), " ".join(comment).removeprefix("-- ")


def undocumented(values: str) -> list[str]:
    """Values without a description, neither their own nor that of what they are in."""
    told = [path for path, _, _ in documented(values)]
    return [
        path
        for path, node in _nodes(yaml.compose(values))
        if not isinstance(node[1], yaml.MappingNode)
        and not any(path == known or path.startswith(f"{known}.") for known in told)
    ]


def path_line(node: tuple[Any, Any]) -> int:
    """The line of a key, counted from 0."""
    return int(node[0].start_mark.line)


def _nodes(mapping: Any, above: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    for key, value in mapping.value:
        path = f"{above}{key.value}"
        yield path, (key, value)
        if isinstance(value, yaml.MappingNode):
            yield from _nodes(value, f"{path}.")


def _value(values: str, path: str) -> Any:
    found = yaml.safe_load(values)
    for part in path.split("."):
        found = found[part]
    return found


def _shown(default: Any) -> str:
    return json.dumps(default, ensure_ascii=False)


def main() -> None:
    check = "--check" in sys.argv[1:]
    values = (CHART / "values.yaml").read_text(encoding="utf-8")
    stale = []
    for name, made in (("values.schema.json", schema), ("README.md", lambda text: readme(text, values))):
        file = CHART / name
        old = file.read_text(encoding="utf-8")
        new = made(old)
        if new != old:
            stale.append(name)
            if not check:
                file.write_text(new, encoding="utf-8")
    if check and stale:
        raise SystemExit(f"charts/reconciler: {', '.join(stale)} must be written again by script/chart")


if __name__ == "__main__":
    main()
