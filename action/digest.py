"""Print the digest of a report with one Project; nothing for several, or for none."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    file = Path(sys.argv[1])
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    projects = json.loads(text)["projects"] if text else []
    if len(projects) == 1:
        sys.stdout.write(projects[0].get("digest") or "")


if __name__ == "__main__":
    main()
