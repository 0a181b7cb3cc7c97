"""Check a value against one of the schemas."""

from __future__ import annotations

from reconciler.errors import Finding
from reconciler.resource import Json
from reconciler.schema.documents import document, validator


def check(name: str, value: Json, *, strict: bool) -> tuple[Finding, ...]:
    """Every problem of the value, by path; () when it is valid."""
    compiled = validator(name)
    try:
        if compiled.is_valid(value):
            return ()
        errors = list(compiled.iter_errors(value))
    except ValueError:
        # The compiler takes nothing that JSON has no form for.
        from reconciler.schema.explain import explain_foreign

        return explain_foreign(value)
    # Finding words for errors loads more than finding none, which is the usual case.
    from reconciler.schema.explain import explain

    return explain(document(name), value, errors, strict=strict)
