"""How one may ask for a field. What is asked of a reader that is judged stands under "held-out" and is never trained.

{n} is a name of the field, {N} the same with a capital, {d} what one calls the document, {l} the label printed on it.
"""

from __future__ import annotations

from training.world import Split

# Sentences by the hundred, so that what is learnt is to look for the name in them, and not the sentences.
_ASKING = (("", "."), ("Please ", "."), ("Now ", "."), ("Kindly ", "."), ("I want you to ", "."), ("You should ", "."),
           ("Could you ", "?"), ("Would you please ", "?"), ("Try to ", "."), ("First of all, ", "."))  # fmt: skip
_VERBS = ("read", "give me", "find", "quote", "write", "tell us", "pick out", "show", "copy", "return", "name",
          "get me", "spell out", "transcribe", "answer with", "extract", "hand me", "identify")  # fmt: skip
_WHERE = ("", "", "", " on this {d}", " of this {d}", " in the picture", " from this image", " that is printed here",
          " that you see", " in it")  # fmt: skip
COMPOSED = tuple(
    f"{begin}{verb if begin else verb.capitalize()} the {{n}}{where}{end}"
    for begin, end in _ASKING for verb in _VERBS for where in _WHERE
)  # fmt: skip
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
        'Which value has "{l}"?', 'What was entered for "{l}"?', 'Which value belongs to "{l}"?',
        'What does "{l}" say?',
        'What is printed under or beside "{l}"?',
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
        "What is marked under {l}?", "For {l}, which one did somebody tick?",
        "Which option did the person choose at {l}?",
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
            "{n} was bought. At what price?", "Is {n} expensive? How much is it?",
            "Look at the line with {n}: how much?",
        ),
        "held-out": (
            "Which amount stands in the line of {n}?", "For {n}, how much was it?", 'How expensive was "{n}"?',
            "I bought {n}. What did I pay for it?",
        ),
    },
}  # fmt: skip
SPECIAL: dict[str, dict[Split, tuple[str, ...]]] = {
    "total": {"train": ("How much is it in all?", "How much was to pay in all?", "What does it all come to?",
                        "What is the final amount?", "What is the sum of everything?", "How much is due in total?",
                        "How much does it cost altogether?", "What is the grand total?", "How much in total?",
                        "How much money has to be paid?", "How much is the bill?",
                        "What is owed, with everything?", "Which amount is in the bottom line?",
                        "What is the whole amount?"),
              "held-out": ("How much money is it altogether, with everything?", "What is the bottom line?",
                           "How much do I owe in all?", "What was the whole bill?")},
    "subtotal": {"train": ("What is the sum before tax?", "How much is it before tax?",
                           "What do the items add up to?", "How much is it without tax?",
                           "How much would it be without the tax?"),
                 "held-out": ("Without the tax, how much is it?",)},
    "date": {"train": ("When was this?", "Which date is on it?", "What day is it from?", "When is it dated?",
                       "Which date does the {d} carry?", "What date is printed on the {d}?",
                       "On which date was this made?", "Which day was it?", "From when is this?"),
             "held-out": ("On which day was it?", "From which date is this {d}?")},
    "time": {"train": ("At what time?", "At what time was it?", "What hour is printed?", "Which hour was it?",
                       "At what o'clock?"),
             "held-out": ("What o'clock was it?",)},
    "due": {"train": ("When is it due?", "By when must it be paid?", "When does it have to be paid?",
                      "Until which date can it be paid?", "When must one pay?"),
            "held-out": ("Until when may one pay?",)},
    "shop": {"train": ("Where was this bought?", "Which business is it from?", "Who issued this receipt?",
                       "Who is the merchant?", "Whose shop is it?", "Which shop is the receipt from?"),
             "held-out": ("Whose receipt is this?",)},
    "sender": {"train": ("Who sent this?", "Who is it from?", "Who wrote it?", "Which company is it from?",
                         "Who was it sent by?"),
               "held-out": ("Who has sent it?",)},
    "recipient": {"train": ("Who is it for?", "To whom is it addressed?", "Who gets it?", "Who received this?",
                            "To whom was this sent?", "Whom is it for?"),
                  "held-out": ("Whom was it sent to?",)},
    "tax": {"train": ("How much tax is there?", "How much of it is tax?", "How much was the tax?",
                      "How much was charged in tax?"),
            "held-out": ("What was charged as tax?",)},
    "change": {"train": ("How much change was given?", "How much came back?",
                         "How much did the customer receive back?", "What was handed back to the customer?"),
               "held-out": ("What did the customer get back?",)},
    "cash": {"train": ("How much cash was handed over?", "How much money was given in cash?",
                       "How much did the customer give in cash?"),
             "held-out": ("What did the customer hand over in cash?",)},
    "tip": {"train": ("How much was the tip?", "What was given as a tip?", "What did they give to the waiter?",
                      "How much was paid on top?"),
            "held-out": ("How much went to the waiter on top?",)},
    "discount": {"train": ("How much was taken off?", "How big is the discount?", "How large is the rebate?"),
                 "held-out": ("What was the rebate?",)},
    "method": {"train": ("How was it paid?", "What was it paid with?", "Which way of paying was used?"),
               "held-out": ("In which way was it paid?",)},
    "cashier": {"train": ("Who served?", "Who was at work here?", "Who worked this shift?"),
                "held-out": ("Whose shift was it?",)},
    "name": {"train": ("Whose name is on it?", "Who is it?", "Who filled this in?", "Which person is named?",
                       "What person is it?"),
             "held-out": ("Who is the person?",)},
    "birth": {"train": ("When was the person born?", "When is the birthday?", "Which day was the person born on?"),
              "held-out": ("On which day was this person born?",)},
    "birth_place": {"train": ("Where was the person born?", "Which town was the person born in?",
                              "Birthplace of this person?"),
                    "held-out": ("In which town was this person born?",)},
    "expiry": {"train": ("When does it expire?", "Until when is it valid?", "How long is it valid?",
                         "Until which day does it run?"),
               "held-out": ("When does it run out?",)},
    "issued": {"train": ("When was it issued?", "Which day was it issued?", "When was this made out?"),
               "held-out": ("On which day was it issued?",)},
    "origin": {"train": ("Where does it start?", "Where does it leave from?", "From where?",
                         "Which place does it leave from?", "Where does one get on?"),
               "held-out": ("Which place does one leave?",)},
    "destination": {"train": ("Where does it go?", "Where is it going to?", "To where?", "Where does it arrive?",
                              "Where does one get off?"),
                    "held-out": ("Which place does one arrive at?",)},
    "departure": {"train": ("When does it leave?", "When does it depart?", "What time is it off?",
                            "At what time does one leave?"),
                  "held-out": ("At what time is one off?",)},
    "arrival": {"train": ("When does it arrive?", "When is it there?", "At what time does one arrive?"),
                "held-out": ("At what time is one there?",)},
    "passenger": {"train": ("Who is travelling?", "Who flies?", "Who has this ticket?", "Whose journey is it?"),
                  "held-out": ("Whose ticket is this?",)},
    "phone": {"train": ("Which number can one call?", "How can one call them?", "Which number is to be dialled?",
                        "What do I have to dial?"),
              "held-out": ("What number do I dial?",)},
    "venue": {"train": ("Where does it take place?", "Where do people have to go?",
                        "To which place does one go for this?"),
              "held-out": ("Where do I have to go for it?",)},
    "weight": {"train": ("How heavy is it?", "How much does it weigh?"), "held-out": ("What does it weigh?",)},
    "height": {"train": ("How tall is the person?", "How tall is this person?"),
               "held-out": ("How tall is he or she?",)},
    "payee": {"train": ("Who gets the money?", "Who is paid?", "Who does the money go to?"),
              "held-out": ("To whom does the money go?",)},
    "table": {"train": ("At which table was it?", "Which table did they sit at?", "Where were the guests sitting?"),
              "held-out": ("Where did they sit?",)},
    "amount": {"train": ("How much is it?", "How much money?", "What sum is it?"),
               "held-out": ("Which sum is on it?",)},
    "price": {"train": ("How much was it?", "What did it cost?", "How much was paid for it?", "What did one pay?"),
              "held-out": ("How much did one pay for it?",)},
    "code": {"train": ("Which code is it?", "What does the code say?", "What code is needed?"),
             "held-out": ("Which code do I need?",)},
    "seat": {"train": ("Where do I sit?", "Which seat is it?", "Which seat has been reserved?"),
             "held-out": ("Which place is reserved?",)},
    "invoice_number": {"train": ("Which number does the invoice have?", "What number is this invoice?",
                                 "What number is the invoice known by?"),
                       "held-out": ("By which number is this invoice known?",)},
    "receipt_number": {"train": ("Which number does the receipt have?", "What number is the receipt known by?"),
                       "held-out": ("By which number is this receipt known?",)},
    "guests": {"train": ("How many guests were there?", "How many people sat at the table?", "For how many was it?"),
               "held-out": ("How many people ate?",)},
}  # fmt: skip
ENDINGS: dict[Split, tuple[str, ...]] = {
    "train": (
        " Answer with the value only.", " Only the value, please.", " Give it as printed.", " Answer briefly.",
        " Reply with the text exactly as it is printed.", " Exactly as printed.", " Thank you.", " Thanks!", " Now.",
        " Be brief.", " Be exact.", " No comment.", " I am in a hurry.", " Do not explain.", " Take your time.",
        " Mind the spelling.", " It has to be right.", " One line will do.",
        *(f" {how} {what}{end}" for how in ("Only", "Just", "Reply with", "I need", "Write down")
          for what in ("the value", "the text", "what is printed", "what you read")
          for end in (".", ", please.", ", letter by letter.", ", without any other words.")),
    ),
    "held-out": (" Nothing else, please.", " Just as it is on the paper."),
}  # fmt: skip
SYSTEMS: dict[Split, tuple[str, ...]] = {
    "train": ("You are a helpful assistant.", "You are a helpful assistant.", "You read documents.",
              "You are an assistant that reads pictures of documents.", "Answer questions about pictures.",
              "Answer with what is printed and nothing else.", "You extract data from documents.",
              "You are a careful reader. Copy values exactly."),
    "held-out": ("You answer questions about scanned papers.", "You are a clerk who reads forms."),
}  # fmt: skip
