"""Tools as OpenAI's API describes them: the one that saves an answer, and others beside it."""

from __future__ import annotations

import random
from typing import Any

from training.world import Split

SAVE = "save_answer"
Tool = dict[str, Any]

_SAVES = ("Save the answer.", "Saves an answer.", "Store the answer that was read.", "Save a value from the document.",
          "Keeps what was read from the picture.", "Save the answer to the question.", "Records an answer.",
          "Call this with the answer.", "")  # fmt: skip
_ARGUMENTS = ("The answer.", "What to save.", "The value, exactly as printed.", "The text to save.", "answer", "")

# Name, what it does, and its parameters with their types.
_OTHERS: dict[Split, tuple[tuple[str, str, dict[str, str]], ...]] = {
    "train": (
        ("get_weather", "Get the weather of a city.", {"city": "string"}),
        ("send_email", "Send an e-mail.", {"to": "string", "subject": "string", "body": "string"}),
        ("search_web", "Search the web.", {"query": "string"}),
        ("translate", "Translate a text.", {"text": "string", "language": "string"}),
        ("create_event", "Put an event into the calendar.", {"title": "string", "date": "string"}),
        ("calculate", "Work out a sum.", {"expression": "string"}),
        ("open_file", "Open a file.", {"path": "string"}),
        ("look_up_order", "Find an order by its number.", {"order_number": "string"}),
        ("convert_currency", "Convert money.", {"amount": "number", "source": "string", "target": "string"}),
        ("set_reminder", "Remind the user of something.", {"text": "string", "minutes": "integer"}),
        ("rotate_picture", "Turn the picture.", {"degrees": "integer"}),
        ("delete_answer", "Delete an answer that was saved.", {"number": "integer"}),
        ("save_file", "Save a file.", {"path": "string", "content": "string"}),
        ("ask_user", "Ask the user a question.", {"question": "string"}),
        ("print_document", "Print the document.", {"copies": "integer"}),
    ),
    "held-out": (
        ("book_flight", "Book a flight.", {"origin": "string", "destination": "string"}),
        ("save_contact", "Save somebody's address.", {"name": "string", "phone": "string"}),
        ("list_answers", "List what was saved.", {"count": "integer"}),
        ("crop_picture", "Cut out a part of the picture.", {"left": "integer", "top": "integer"}),
        ("get_time", "Tell the time.", {"zone": "string"}),
    ),
}  # fmt: skip


def _tool(name: str, description: str, parameters: dict[str, Tool]) -> Tool:
    function: Tool = {"name": name}
    if description:
        function["description"] = description
    function["parameters"] = {"type": "object", "properties": parameters, "required": list(parameters)}
    return {"type": "function", "function": function}


def saving_tool(rng: random.Random) -> Tool:
    about = rng.choice(_ARGUMENTS)
    answer = {"type": "string", "description": about} if about else {"type": "string"}
    return _tool(SAVE, rng.choice(_SAVES), {"answer": answer})


def offered(rng: random.Random, split: Split) -> tuple[Tool, ...]:
    """The tool that saves, alone or among two or three others."""
    tools = [saving_tool(rng)]
    if rng.random() < 0.35:
        for name, description, parameters in rng.sample(_OTHERS[split], rng.choice((2, 3))):
            tools.append(_tool(name, description, {key: {"type": kind} for key, kind in parameters.items()}))
        rng.shuffle(tools)
    return tuple(tools)
