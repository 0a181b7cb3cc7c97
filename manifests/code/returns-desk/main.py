"""Answers one question: may this order still be returned?"""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, date, datetime, timedelta

from azure.ai.agentserver.responses import (
    CreateResponse,
    ResponseContext,
    ResponsesAgentServerHost,
    TextResponse,
)

RETURN_DAYS = int(os.environ.get("RETURN_DAYS", "30"))
app = ResponsesAgentServerHost()


def may_return(delivered: date, today: date) -> bool:
    """Whether the return period is still open."""
    return today <= delivered + timedelta(days=RETURN_DAYS)


@app.response_handler
async def answer(request: CreateResponse, context: ResponseContext, cancelled: asyncio.Event) -> TextResponse:
    """The date at the end of the question decides."""
    question = await context.get_input_text()
    try:
        delivered = date.fromisoformat(question.strip()[-10:])
    except ValueError:
        return TextResponse(context, request, text="When was it delivered? Write it as 2026-05-31.")
    open_still = may_return(delivered, datetime.now(UTC).date())
    verdict = "Yes" if open_still else "No, the period is over"
    return TextResponse(context, request, text=f"{verdict} ({RETURN_DAYS} days).")


if __name__ == "__main__":
    app.run()
