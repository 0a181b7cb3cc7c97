"""`reconciler schema`: the JSON Schema of a whole manifest, for editors."""

from __future__ import annotations

import typer


def schema() -> None:
    """Print the JSON Schema of manifests; point your editor's YAML support at it."""
    import orjson

    from reconciler.kinds.registry import KINDS
    from reconciler.manifest_schema import manifest_schema

    typer.echo(orjson.dumps(manifest_schema(KINDS), option=orjson.OPT_INDENT_2).decode())
