"""Answers one question: may this order still be returned?"""

from __future__ import annotations

import os
from datetime import date, timedelta

from azure.ai.agentserver.responses import CreateResponse, ResponsesAgentServerHost, TextResponse

RETURN_DAYS = int(os.environ.get("RETURN_DAYS", "30"))
app = ResponsesAgentServerHost()


def may_return(delivered: date, today: date) -> bool:
    """Whether the return period is still open."""
    return today <= delivered + timedelta(days=RETURN_DAYS)


@app.response_handler
async def answer(request: CreateResponse, context: object, cancellation: object) -> TextResponse:
    """The delivery date in the question decides."""
    text = str(request.input)
    try:
        delivered = date.fromisoformat(text.strip()[-10:])
    except ValueError:
        return TextResponse(context, request, text="When was it delivered? Write it as 2026-05-31.")
    verdict = "Yes" if may_return(delivered, date.today()) else "No, the period is over"
    return TextResponse(context, request, text=f"{verdict} ({RETURN_DAYS} days).")


if __name__ == "__main__":
    app.run()
