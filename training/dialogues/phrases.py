"""How one may ask for a field. What is asked of a reader that is judged stands under "held-out" and is never trained.

{n} is a name of the field, {N} the same with a capital, {d} what one calls the document, {l} the label printed on it.
"""

from __future__ import annotations

from training.world import Split

FRAMES: dict[Split, tuple[str, ...]] = {
    "train": (
        "What is the {n}?", "What is the {n}?", "What is the {n}?", "What's the {n}?", "{N}?", "{n}?", "{n}", "{N}:",
        "What is the {n} on this {d}?", "Read the {n}.", "Read out the {n}.", "Read the {n} from the picture.",
        "Give me the {n}.", "Please give me the {n}.", "Tell me the {n}.", "Find the {n}.", "Find the {n} in this {d}.",
        "Which {n} is printed here?", "Which {n} does the {d} show?", "What {n} does it have?", "I need the {n}.",
        "Can you read the {n}?", "Could you tell me the {n}?", "Look up the {n}.", "Extract the {n}.",
        "Return the {n} only.", "State the {n}.", "Write down the {n}.", "Copy the {n} exactly.", "Show me the {n}.",
        "The {n}, please.", "Answer with the {n}.", "What does it say for the {n}?", "What is written as the {n}?",
        "From the image, what is the {n}?", "Please read the {n}.", "What is the {n} in the image?", "Get the {n}.",
        "Here is a {d}. What is the {n}?", "Look at this {d}. Give the {n}.", "what is the {n}", "read the {n}",
        "Just the {n}, please.", "I want to know the {n}.",
    ),
    "held-out": (
        "Would you let me know the {n}?", "I am looking for the {n}.", "Which is the {n} in this picture?",
        "Please type out the {n}.", "What do you read as the {n}?", "Can you find the {n} for me?",
        "On this {d}, what is the {n}?", "Report the {n} as it is printed.", "Say what the {n} is.",
    ),
}  # fmt: skip
BY_LABEL: dict[Split, tuple[str, ...]] = {
    "train": (
        'What does it say at "{l}"?', 'What stands at "{l}"?', 'Read the field "{l}".', 'What is the value of "{l}"?',
        'What is written for "{l}"?', '"{l}"?', "Give me the value of {l}.", 'What was filled in at "{l}"?',
        'Copy what is printed at "{l}".', "What is given as {l}?", "{l}", "Read the value of {l}.",
        'Which value has "{l}"?',
    ),
    "held-out": (
        'Which text belongs to "{l}"?', 'What is entered under "{l}"?', "Type the value that {l} has.",
        'Tell me what "{l}" says.',
    ),
}  # fmt: skip
CHOICE: dict[Split, tuple[str, ...]] = {
    "train": (
        'Which box is ticked at "{l}"?', "What is ticked for {l}?", "{l}: which box is marked?", "Which {n} is ticked?",
        'Which option is chosen at "{l}"?', "What was chosen for {l}?", 'Read the ticked box of "{l}".',
        'What is the answer to "{l}"?', "Which box has a mark at {l}?", "Give the option that is marked at {l}.",
        "{l}?", 'At "{l}", what is ticked?', "Which of the boxes of {l} is ticked?",
    ),
    "held-out": (
        'Which answer is marked under "{l}"?', "What did the person tick at {l}?", "Name the ticked option of {l}.",
        'Under "{l}", which box is it?',
    ),
}  # fmt: skip
# Things with a price have names of their own, so they are asked for by other sentences.
ITEMS: dict[str, dict[Split, tuple[str, ...]]] = {
    "item_price": {
        "train": (
            "What does {n} cost?", "How much is {n}?", "What is the price of {n}?", "Price of {n}?",
            "How much was charged for {n}?", 'Read the amount of "{n}".', "What was paid for {n}?", "{n}: how much?",
            'What is the amount for "{n}"?', "How much did {n} cost?", "Give me the price of {n}.",
            "Find the price of {n}.", 'What does it say behind "{n}"?', "Tell me what {n} costs.",
        ),
        "held-out": (
            "Which amount stands in the line of {n}?", "For {n}, how much was it?", 'How expensive was "{n}"?',
            "I bought {n}. What did I pay for it?",
        ),
    },
}  # fmt: skip
SPECIAL: dict[str, dict[Split, tuple[str, ...]]] = {
    "total": {
        "train": ("How much is it in all?", "How much was to pay in all?", "What does it all come to?",
                  "What is the final amount?", "What is the sum of everything?", "How much is due in total?",
                  "How much does it cost altogether?", "What is the grand total?", "How much in total?"),
        "held-out": ("How much money is it altogether, with everything?", "What is the bottom line?",
                     "How much do I owe in all?", "What was the whole bill?"),
    },
    "subtotal": {"train": ("What is the sum before tax?", "How much is it before tax?", "What do the items add up to?"),
                 "held-out": ("Without the tax, how much is it?",)},
    "date": {"train": ("When was this?", "Which date is on it?", "What day is it from?", "When is it dated?",
                       "Which date does the {d} carry?", "What date is printed on the {d}?"),
             "held-out": ("On which day was it?", "From which date is this {d}?")},
    "time": {"train": ("At what time?", "At what time was it?", "What hour is printed?"),
             "held-out": ("What o'clock was it?",)},
    "due": {"train": ("When is it due?", "By when must it be paid?", "When does it have to be paid?"),
            "held-out": ("Until when may one pay?",)},
    "shop": {"train": ("Where was this bought?", "Which business is it from?", "Who issued this receipt?",
                       "Who is the merchant?"),
             "held-out": ("Whose receipt is this?",)},
    "sender": {"train": ("Who sent this?", "Who is it from?", "Who wrote it?", "Which company is it from?"),
               "held-out": ("Who has sent it?",)},
    "recipient": {"train": ("Who is it for?", "To whom is it addressed?", "Who gets it?", "Who received this?"),
                  "held-out": ("Whom was it sent to?",)},
    "tax": {"train": ("How much tax is there?", "How much of it is tax?", "How much was the tax?"),
            "held-out": ("What was charged as tax?",)},
    "change": {"train": ("How much change was given?", "How much came back?"),
               "held-out": ("What did the customer get back?",)},
    "cash": {"train": ("How much cash was handed over?", "How much money was given in cash?"),
             "held-out": ("What did the customer hand over in cash?",)},
    "tip": {"train": ("How much was the tip?", "What was given as a tip?"),
            "held-out": ("How much went to the waiter on top?",)},
    "discount": {"train": ("How much was taken off?", "How big is the discount?"),
                 "held-out": ("What was the rebate?",)},
    "method": {"train": ("How was it paid?", "What was it paid with?"), "held-out": ("In which way was it paid?",)},
    "cashier": {"train": ("Who served?", "Who was at work here?"), "held-out": ("Whose shift was it?",)},
    "name": {"train": ("Whose name is on it?", "Who is it?", "Who filled this in?", "Which person is named?"),
             "held-out": ("Who is the person?",)},
    "birth": {"train": ("When was the person born?", "When is the birthday?"),
              "held-out": ("On which day was this person born?",)},
    "birth_place": {"train": ("Where was the person born?",), "held-out": ("In which town was this person born?",)},
    "expiry": {"train": ("When does it expire?", "Until when is it valid?", "How long is it valid?"),
               "held-out": ("When does it run out?",)},
    "issued": {"train": ("When was it issued?",), "held-out": ("On which day was it issued?",)},
    "origin": {"train": ("Where does it start?", "Where does it leave from?", "From where?"),
               "held-out": ("Which place does one leave?",)},
    "destination": {"train": ("Where does it go?", "Where is it going to?", "To where?"),
                    "held-out": ("Which place does one arrive at?",)},
    "departure": {"train": ("When does it leave?", "When does it depart?"), "held-out": ("At what time is one off?",)},
    "arrival": {"train": ("When does it arrive?",), "held-out": ("At what time is one there?",)},
    "passenger": {"train": ("Who is travelling?", "Who flies?"), "held-out": ("Whose ticket is this?",)},
    "phone": {"train": ("Which number can one call?", "How can one call them?"),
              "held-out": ("What number do I dial?",)},
    "venue": {"train": ("Where does it take place?",), "held-out": ("Where do I have to go for it?",)},
    "weight": {"train": ("How heavy is it?",), "held-out": ("What does it weigh?",)},
    "height": {"train": ("How tall is the person?",), "held-out": ("How tall is he or she?",)},
    "payee": {"train": ("Who gets the money?", "Who is paid?"), "held-out": ("To whom does the money go?",)},
    "table": {"train": ("At which table was it?",), "held-out": ("Where did they sit?",)},
    "amount": {"train": ("How much is it?", "How much money?"), "held-out": ("Which sum is on it?",)},
    "price": {"train": ("How much was it?", "What did it cost?"), "held-out": ("How much did one pay for it?",)},
    "code": {"train": ("Which code is it?", "What does the code say?"), "held-out": ("Which code do I need?",)},
    "seat": {"train": ("Where do I sit?", "Which seat is it?"), "held-out": ("Which place is reserved?",)},
    "invoice_number": {"train": ("Which number does the invoice have?", "What number is this invoice?"),
                       "held-out": ("By which number is this invoice known?",)},
    "receipt_number": {"train": ("Which number does the receipt have?",),
                       "held-out": ("By which number is this receipt known?",)},
    "guests": {"train": ("How many guests were there?",), "held-out": ("How many people ate?",)},
}  # fmt: skip
ENDINGS: dict[Split, tuple[str, ...]] = {
    "train": (" Answer with the value only.", " Only the value, please.", " Give it as printed.",
              " Reply with the text exactly as it is printed.", " Answer briefly.", " Exactly as printed."),
    "held-out": (" Nothing else, please.", " Just as it is on the paper."),
}  # fmt: skip
SYSTEMS: dict[Split, tuple[str, ...]] = {
    "train": ("You are a helpful assistant.", "You are a helpful assistant.", "You read documents.",
              "You are an assistant that reads pictures of documents.", "Answer questions about pictures.",
              "Answer with what is printed and nothing else.", "You extract data from documents.",
              "You are a careful reader. Copy values exactly."),
    "held-out": ("You answer questions about scanned papers.", "You are a clerk who reads forms."),
}  # fmt: skip
