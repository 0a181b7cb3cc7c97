"""Write the report into our comment on a pull request, or make one; found again by its hidden first line."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from aiohttp import ClientSession

from reconciler.errors import ReconcilerError
from reconciler.service.notify.github import GitHub


async def write(file: Path, number: int) -> None:
    marker, _, text = file.read_text(encoding="utf-8").partition("\n")
    async with ClientSession(trust_env=True) as session:
        api, repository = os.environ["GITHUB_API_URL"], os.environ["GITHUB_REPOSITORY"]
        await GitHub(api, repository, os.environ["TOKEN"], session).comment(number, marker, text)


def main() -> None:
    try:
        asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2])))
    except ReconcilerError as error:
        hint = "Give the job `permissions: {pull-requests: write}`; pull requests from forks never have it."
        # In one line and without its own `%0A`: a forge's answer is part of the message.
        said = " ".join(str(error).replace("%", "%25").split())
        sys.stdout.write(f"::warning title=reconciler::The comment could not be written: {said}. {hint}\n")


if __name__ == "__main__":
    main()
