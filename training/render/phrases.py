"""How people ask to have a picture read. Those that are held out are never trained on."""

from __future__ import annotations

READ = (
    "Read this image.", "Read this picture.", "Read the text.", "What does it say?", "What does this say?",
    "What is written here?", "What is written in the picture?", "Please read this.", "Please read the text aloud.",
    "Transcribe this.", "Transcribe the text.", "Please transcribe the text in the picture.", "Type out what you see.",
    "Give me the text.", "Give me the text of this image.", "What text is in this image?", "What text do you see?",
    "Copy the text.", "Copy out the words.", "Write down what it says.", "Extract the text.", "Extract all text.",
    "Can you read this?", "Can you read this for me?", "Could you read this out?", "OCR this.", "Text, please.",
    "I need the text of this picture.", "Tell me what is written.", "Tell me what it says.", "Read it.", "read this",
    "read", "what does it say", "Return the text exactly as it stands.", "Recognise the text.",
)  # fmt: skip
READ_HELD_OUT = (
    "Please tell me what this picture says.", "Which words are in this image?", "Turn this picture into text.",
    "Could you write out the text you can see here?", "Please copy what is printed here.", "What can you read here?",
    "Read all of the text in this image.", "I can't read this. What does it say?",
)  # fmt: skip
