"""What the held-out split's sentences look like, written as in templates_train.py, of which none is here."""

from __future__ import annotations

RULES = """
sentence:
  {core}.
  {core}.
  {core}; {core}.
  {core}, which {abstract_verb.past} every {role}.
  While {core}, {core}.
  Since {year}, {core}.
  {opening} {core}.
  {opening} {core}.
  {figure}
  {figure}
  {speech}
  {rule}
  {strange}
  {strange}
  Whether {core} or not, {core}.
core:
  a {adj} {role} once {doc_verb.past} the {doc}
  the {doc} had been {doc_verb.done} long ago
  both {role.s} {abstract_verb.past} the same {abstract}
  those {adj} {device.s} must never be {device_verb.done}
  every {part} inside the {device} looked {adj}
  few {group.s} have ever {abstract_verb.done} such {adj} {abstract}
  {first} {adverb} {abstract_verb.past} the {abstract} of {country}
  no {nature} between {city} and {city} is as {adj}
  the {metric} would {adverb} {up} until {month}
  the {metric} may {down} again this {weekday}
  {person} wanted to {device_verb} the {device} with {material}
  {company} kept {abstract_verb.ing} its {adj} {process}
  the {place} beside the {place} smelled of {food} and {material}
  {food.s} and {nature.s} throve behind the {place}
  some {unit} of {material} lay under the {nature}
  all {role.s} started {device_verb.ing} the {device} at {time}
  the {process} ended with {abstract} rather than {abstract}
  their {adj} {process} {abstract_verb.past} not only {city} but also {country}
  old {role.s} still {abstract_verb} whoever {doc_verb.s} {adj} {doc.s}
  neither the {role} nor the {group} could {abstract_verb} such {abstract}
  my {role} {doc_verb.past} {number} {doc.s} within {number} {unit}
  everybody loves {adj} {food.s} except {first}
  this {device} weighs almost {measure}, hence its {adj} {part}
  {last} became {role} of {city} at the age of {number}
  another {place} opened opposite the {adj} {place} in {month}
  {company} owns {number} {place.s} worth {money} altogether
  your {doc} ({code}) got lost somewhere between {city} and {city}
  her {adj} {abstract} {abstract_verb.past} even {person}
  ten {unit} of {food} cost less than {money} back then
  one {role} out of {number} {adverb} {abstract_verb.s} {industry}
opening:
  Surprisingly,
  At first,
  Towards the end of {month},
  Near {city},
  Even so,
  Despite the {process},
  {adverb} enough,
  By {date},
  Inside the {place},
  Thanks to {person},
figure:
  Exactly {number} {unit} were counted on {date}.
  {city}, {country}: {metric} {decimal}, {metric} {percent}.
  {person} owes {company} {money} since {month} {year}.
  Our {device} no. {code} arrived {number} {unit} late.
  From {time} until {time}, {percent} of all {role.s} were away.
  Ticket {code} ({money}) is valid until {date}.
  {last} {citation} gives {measure}, whereas {last} {citation} gives {measure}.
  Paragraph {number} of the {doc} mentions {money}, i.e. {percent}.
  Its diameter is {measure}; its {metric}, {measure}.
  Write to {email} or ring {phone} before {time}.
  More under {url} (password: {code}).
speech:
  “{Core}!” cried the {role}.
  “Is the {adj} {device} {adj} again?” asked {first} {last}.
  {person} wrote: “{Core}.”
  ‘{Core},’ the {adj} {role} muttered.
rule:
  NO {PLACE} MAY BE {DONE} AFTER {DATE}.
  CAUTION – {ADJ} {DEVICE}!
  Never {device_verb} {adj} {device.s} indoors.
  It shall be forbidden to {doc_verb} any {doc} ({section}).
  • {adj} {part.s}, {adj} {part.s} & {material}
  P.S. {Core}...
strange:
  {Word}, {word} and {word}: {word}.
  Old {Name} {abstract_verb.past} a {word} near {Name} {Name}.
  In {Name}, {word} is {word} for “{word}”.
  {Name}'s {word} {doc_verb.s} {word}-{word} {doc.s}.
  Is {word} {adj}, or merely {word}?
title:
  {adj} {nature.s} of {country}
  a {role}'s {abstract}
  {abstract} or {abstract}?
  towards {adj} {industry}
  {abstract} and {adj} {abstract}
  {group} of {city}
  on {device.s} and {part.s}
  {name}'s {doc}
  {industry}: a {doc}
  {word} {nature}
  notes about {adj} {material}
  {food} with {food}
  {place} {code_short}
"""
