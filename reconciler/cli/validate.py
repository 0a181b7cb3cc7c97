"""`reconciler validate`: check the manifests without asking any service."""

from __future__ import annotations

import typer

from reconciler.cli import options


def validate(
    path: options.Path = ".",
    ref: options.Ref = None,
    project: options.Projects = None,
    selector: options.Selector = None,
    only: options.Only = None,
    format: options.Format = "text",
    output: options.Output = None,
) -> None:
    """Check every manifest: form, references, schema, policies. Exits 0, 1 for problems, 3 for refusals."""
    from reconciler.cli.narrow import narrowing
    from reconciler.cli.output import emit, outputs
    from reconciler.cli.run import load_or_report
    from reconciler.cli.validated import validated

    where = outputs(format, output)
    loaded = load_or_report("validate", path, ref, narrowing(project, selector, only), where)
    report = validated(loaded)
    emit(report, where)
    raise typer.Exit(report.exit_code)
