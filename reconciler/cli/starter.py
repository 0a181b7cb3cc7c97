"""The text of the files that a new repository starts with. Values in, text out."""

from __future__ import annotations

import json
from typing import Final

# What a name in `metadata.name` may hold, for names that are made from a folder or an endpoint.
MOST_NAME_CHARS: Final = 63


def name_from(text: str) -> str:
    """A valid name made of some text: letters, digits and inner hyphens, at most 63; "agents" for nothing."""
    kept = "".join(char if char.isascii() and char.isalnum() else "-" for char in text)
    return kept[:MOST_NAME_CHARS].strip("-") or "agents"


def quoted(text: str) -> str:
    """A text as YAML, in double quotes only where it needs them."""
    bare = text[:1].isalpha() and all(char.isalnum() or char in "./:_-#" for char in text)
    safe = bare and ": " not in text and not text.endswith(":") and text.isascii()
    return text if safe else json.dumps(text)


def project_manifest(name: str, endpoint: str, owner: str, mode: str, resources: tuple[str, ...]) -> str:
    """A commented Project.

    Args:
        mode: `enforce` or `observe`; the comments say what it means and how to change it.
        resources: globs relative to the file.
    """
    globs = ", ".join(json.dumps(glob) for glob in resources)
    return f"""\
# One Foundry project, and which manifests belong to it.
apiVersion: reconciler/v1
kind: Project
metadata:
  name: {name}
spec:
{_ENDPOINT if endpoint.startswith("sandbox://") else ""}\
  endpoint: {quoted(endpoint)}

  # Written into the agents that are made from here. Only agents with this owner are ever deleted, so keep
  # it when the repository moves; a new name goes here, and the old one under `owner_aliases`.
  owner: {quoted(owner)}

  # Files with agents, relative to this one.
  resources: [{globs}]

  sync:
{_OBSERVE if mode == "observe" else _ENFORCE}"""


_ENDPOINT: Final = """\
  # sandbox://NAME is a Foundry-shaped service on this machine. For a real project write
  # https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT instead; everything else stays.
"""
_ENFORCE: Final = """\
    # enforce: `apply` makes live agents equal to the manifests. observe: it only shows the plan.
    mode: enforce
    # true in enforce: an agent whose manifest is removed from here is deleted. Agents that were not made
    # from here are never touched. Write false to keep every agent.
    prune: true
"""
_OBSERVE: Final = """\
    # observe: `apply` changes nothing and only shows the plan. Once `reconciler plan` says what you expect,
    # write `mode: enforce`: then live agents are made equal to the manifests.
    mode: observe
    # false: an agent whose manifest is removed from here stays. With true, and in enforce, it is deleted.
    prune: false
"""

AGENT: Final = """\
# One agent. `definition` holds exactly what the service knows; `reconciler schema` describes every key.
apiVersion: reconciler/v1
kind: Agent
metadata:
  name: hello
  labels: {team: support}
spec:
  description: Says hello
  definition:
    kind: prompt
    model: gpt-5-mini
    # Texts are literal: ${NAME} and {{name}} stay as they are. A long text may live in a file of its own:
    # `instructions: {$file: hello.md}`.
    instructions: |
      You greet people by their name.
      Answer in the language of the question.
"""

GITHUB: Final = """\
# Plans on pull requests, applies on the main branch.
name: reconciler
on:
  pull_request:
  push:
    branches: [main]
permissions:
  contents: read
  id-token: write
# One writer at a time for this repository.
concurrency:
  group: reconciler-${{ github.ref }}
  cancel-in-progress: false
jobs:
  agents:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v6
        with:
          # All of the history, so that an older commit never overwrites a newer one.
          fetch-depth: 0
      - uses: actions/setup-python@v6
        with:
          python-version: "3.11"
      # The variable says where you keep reconciler, such as git+https://github.com/acme/reconciler@v0.1.0.
      - run: pip install "$RECONCILER"
        env:
          RECONCILER: ${{ vars.RECONCILER }}
      # The identity needs the role Foundry User on the project. Its federated credential names this
      # repository and branch.
      - uses: azure/login@v3
        with:
          client-id: ${{ vars.AZURE_CLIENT_ID }}
          tenant-id: ${{ vars.AZURE_TENANT_ID }}
          subscription-id: ${{ vars.AZURE_SUBSCRIPTION_ID }}
      - run: reconciler validate .
      - name: Plan
        if: github.event_name == 'pull_request'
        # Exit code 2 means that there are changes, which is no failure here.
        run: reconciler plan . || test $? -eq 2
      - name: Apply
        if: github.event_name == 'push'
        run: reconciler apply . --yes
"""
