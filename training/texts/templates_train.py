"""What the training split's sentences look like. A name stands alone; what it may become follows on indented lines."""

from __future__ import annotations

RULES = """
sentence:
  {clause}.
  {clause}.
  {clause}, and {clause}.
  {clause}, but {clause}.
  {clause} because {clause}.
  {when}, {clause}.
  {when}, {clause}.
  {clause} {when}.
  Although {clause}, {clause}.
  If {present}, {request}.
  {present}.
  {present}; {connective}, {present}.
  {connective}, {clause}.
  {fact}
  {fact}
  {fact}
  {request}.
  Please {request}.
  {question}
  {quote}
  {definition}
  {list}
  {news}
  {notice}
  {odd}
clause:
  the {role} {doc_verb.past} the {doc_np}
  the {role} {adverb} {doc_verb.past} {number} {doc.s}
  {person} {doc_verb.past} the {doc} of {date}
  {person} and {person} {abstract_verb.past} the {abstract} of the {process}
  the {doc_np} was {doc_verb.done} by the {role}
  the {doc.s} were {adverb} {doc_verb.done} at the {place}
  the {device_np} was {device_verb.done} in {year}
  {number} {device.s} were {device_verb.done} by {company}
  the {group} {abstract_verb.past} a {adj} {abstract}
  our {group} has {adverb} {abstract_verb.done} the {abstract} of {industry}
  the {metric} {up.past} by {percent}
  the {metric} {down.past} from {percent} to {percent}
  the {metric} of the {place} has {up.done} to {measure}
  the {process} at the {place} took {number} {unit}
  the {process} of the {device} {abstract_verb.past} the {abstract}
  the {adj} {part} of the {device} was made of {material}
  {company} {device_verb.past} its {adj} {device} in {city}
  a {role} from {city} {abstract_verb.past} the {adj} {abstract}
  we had to {device_verb} the {part} and the {part}
  they {adverb} {abstract_verb.past} the {abstract}
  she {doc_verb.past} the {doc} and {device_verb.past} the {device}
  he {abstract_verb.past} the {abstract} in front of the {group}
  nobody {abstract_verb.past} the {adj} {adj} {device}
  the {role.s} of the {group} met at the {place} in {city}
  a {adj} {nature} was seen near the {place}
  the {food} and the {food} were stored next to the {adj} {place}
present:
  the {doc} {abstract_verb.s} the {abstract} of every {role}
  the {device} can be {device_verb.done} without a {part}
  {adj} {device.s} are {adverb} {device_verb.done} in {place.s}
  each {role} must {doc_verb} a {adj} {doc}
  the {part} is {adj} and the {part} is {adj}
  most {role.s} {abstract_verb} the {adj} {abstract}
  the {metric} usually {up.s} during the {process}
  the {metric} of the {device} {down.s} as the {metric} {up.s}
  {material} is more {adj} than {material}
  {industry} {abstract_verb.s} the {abstract} of the whole region
  the {group} is responsible for the {process} of {adj} {device.s}
  {company} offers {adj} {product.s} and {adj} {device.s}
  you should not {device_verb} the {device} while the {part} is {adj}
  the {place} is {adverb} closed on {weekday}s
  it is {adj} to {abstract_verb} the {abstract}
  there is no {abstract} without {abstract}
  the {nature} lives near the {nature} and feeds on {nature.s}
request:
  {doc_verb} the {doc_np} before {date}
  {device_verb} the {device_np} every {number} {unit}
  call {phone} or write to {email}
  send the {adj} {doc} to {email}
  visit {url} for the {adj} {doc}
  see {section} of the {doc}
  {abstract_verb} the {abstract} and {doc_verb} the {doc}
  add {measure} of {food} and {measure} of {food}
  keep the {part} away from the {part}
  contact {person} at the {place} by {time}
fact:
  {company} reported a {metric} of {money} for {year}.
  {Ordinal} place went to {person} from {city} with {decimal} points.
  The {product} costs {money} and is {adj}.
  In {year}, the {metric} was {decimal}, compared with {decimal} in {year} {citation}.
  About {percent} of the {role.s} {abstract_verb} the {adj} {abstract} {citation}.
  The {device} weighs {measure} and needs {measure}.
  The distance between {city} and {city} is {number} {unit}.
  {city} has {number} {place.s} and {number} {role.s}.
  The {process} began at {time} and ended at {time} on {date}.
  Order {code} contains {number} {device.s} and {number} {part.s}.
  Reference {code} was assigned to the {doc} on {date}.
  The serial number of the {device} is {code}.
  The {group} paid {money} for {number} {unit} of {material}.
  Between {year} and {year}, the {metric} {up.past} {adverb} ({percent} a year).
  See {section} and {section} for the {abstract} of {adj} {device.s}.
  As {last} et al. {citation} have shown, the {metric} {down.s} with the {metric}.
  The {adj} {metric} (see {section}) was {decimal} +/- {decimal}.
  Room {number} is on the {ordinal} floor of the {place}.
  The train to {city} leaves at {time} from platform {number}.
  {first} was born on {date} in {city}, {country}.
  On {weekday}, temperatures in {city} will reach {measure}.
  The price of {food} {up.past} by {percent} in {month}.
  A total of {number} {device.s} ({percent}) failed the {process}.
question:
  Who {doc_verb.past} the {doc} of the {adj} {group}?
  Why was the {device} not {device_verb.done} before {date}?
  How many {role.s} work at the {place} in {city}?
  Did you {doc_verb} the {adj} {doc}?
  What is the {metric} of {adj} {material}?
  Could you {doc_verb} the {doc} by {time} on {weekday}?
quote:
  “{Clause},” said {person}.
  “We {abstract_verb} the {adj} {abstract},” the {role} told the {group} on {weekday}.
  “{Present},” {last} explained, “and {present}.”
  “{Present},” {person} wrote on {date}, “so {present}.”
  According to {person}, {clause}.
  {person}, {role} of {company}, called the {process} “{adj}”.
  The {role}'s {doc} said that {clause}.
definition:
  A {role} is a person who {adverb} {doc_verb.s} {adj} {doc.s}.
  The {word} is a {adj} {device} with a {part} of {material}.
  The term “{word}” means a {adj} {abstract} in {industry}.
  {Word}: a {adj} {process} in which {device.s} are {device_verb.done}.
  The {device} (also called {word}) consists of a {part}, a {part} and {number} {part.s}.
list:
  The {doc} covers {adj} {device.s}, {device.s}, {material} and {food.s}.
  {Material}, {material}, {material} and {material} were {device_verb.done}.
  The {group} includes {role.s}, {role.s} and {role.s} from {city}, {city} and {city}.
  Ingredients: {food}, {food}, {food}, {food}, {word}, {word} ({percent}).
  (a) {adj} {doc.s}; (b) {adj} {part.s}; (c) {adj} {device.s}.
  Items 1) {device}, 2) {device} and 3) {part} are {adj}.
news:
  {CITY} – {Clause}, the {group} said on {weekday}.
  Shares in {company} {up.past} {percent} to {money} after the {process}.
  {company} will {abstract_verb} {number} jobs in {country}, its {role} announced on {weekday}.
  The {adj} {nature} near {city} was {abstract_verb.done} by a {nature} in {month} {year}.
  {country}'s {group} has {abstract_verb.done} the {adj} {process} of {number} {role.s}.
  {person} won the {ordinal} {process} in {city} in {time_span}.
  Police in {city} are looking for a {adj} {device} stolen from a {place}.
  Scientists at the {name} Institute have {abstract_verb.done} a {adj} {nature}.
notice:
  NOTICE: {DOC} MUST BE {DONE} BEFORE {DATE}.
  WARNING! DO NOT {DEVICE_VERB} THE {DEVICE} WHEN {ADJ}.
  IMPORTANT: The {device} is {adj} – {device_verb} it {adverb}.
  Note: {present}.
  N.B. {Clause} (cf. {section}).
  Attention: {product} {code} is {adj}.
  © {year} {company} All rights reserved.
  Terms: net {number} days, {percent} discount within {number} days.
  Tel.: {phone}, e-mail: {email}, web: {url}
odd:
  {Word} {word} {word} {word}, {word} {word}.
  The {word} of {Name} was {word}ed by the {word} {word} in {year}.
  {Name} and {Name} {abstract_verb.past} the {word}-{word} {abstract}.
  {Name} {Name}, {Name} {Name} and {Name} {Name} live in {Name}.
  The so-called {word} {device} ({code}) is {adj}.
  Dr. {name} gave {Name} a {adj}, {word}-like {part}.
  File {code} was {doc_verb.done} as {word}_{word}.{word}.
  {word}/{word} = {decimal}; {word} + {word} < {number}; {code}
when:
  on {date}
  in {month} {year}
  at {time} on {weekday}
  after the {process}
  before the {adj} {process}
  during the {process} of the {device}
  in the {adj} {place}
  for {number} {unit}
  last {weekday}
  at the end of {year}
  {number} {unit} later
  as soon as possible
  without {abstract}
connective:
  However
  Therefore
  In addition
  For example
  As a result
  Nevertheless
  In general
  On the other hand
  Moreover
  Finally
  In fact
  Of course
  Meanwhile
doc_np:
  {adj} {doc}
  {doc}
  {doc} of the {group}
  {doc} for {company}
  {adj} {doc} about {abstract}
  {doc} ({code})
  {doc} on {industry}
device_np:
  {adj} {device}
  {device}
  {device} in the {place}
  {device} and its {part}
  {adj}, {adj} {device}
  {device} No. {number}
time_span:
  {number} minutes
  {decimal} seconds
  {number} hours
title:
  {adj} {device.s}
  the {abstract} of {industry}
  {doc} of {adj} {process}
  {process} and {process}
  {adj} {doc} {year}
  {abstract} in {industry}
  how to {device_verb} a {device}
  {adj} {metric} and {abstract}
  {role.s} and their {doc.s}
  {group} {doc}
  {city}: {adj} {process}
  {name} {process}
  the {adj} {nature}
  {device} {process} {doc}
  {company}
  introduction to {adj} {abstract}
  {device} {code_short}
  {food} and {food}
  terms and conditions
  {process}
  {abstract}
  {ordinal} {process} in {city}
  {word} {abstract}
"""
