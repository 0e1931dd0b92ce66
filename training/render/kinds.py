"""The kinds of fields that forms, cards, tickets and slips have: how they are labelled, called and filled in."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training.render import values
from training.render.fields import Field
from training.render.values import Manner, patterned
from training.world import World

Make = Callable[[random.Random, World, Manner], str]


@dataclass(frozen=True)
class Kind:
    labels: tuple[str, ...]  # as printed
    names: tuple[str, ...]  # as asked for
    make: Make


def _of(*patterns: str) -> Make:
    return lambda rng, world, manner: patterned(rng, rng.choice(patterns))


def _one(*choices: str) -> Make:
    return lambda rng, world, manner: rng.choice(choices)


def _date(first: int, last: int) -> Make:
    return lambda rng, world, manner: manner.date(values.day(rng, first, last))


def _money(least: float, most: float) -> Make:
    return lambda rng, world, manner: manner.money(values.cents(rng, world, least, most))


def _code(rng: random.Random, world: World, manner: Manner) -> str:
    return world.texts.code(rng)


def _person(rng: random.Random, world: World, manner: Manner) -> str:
    return world.texts.person(rng)


def _company(rng: random.Random, world: World, manner: Manner) -> str:
    return world.texts.company(rng)


def _address(rng: random.Random, world: World, manner: Manner) -> str:
    lines = world.texts.address(rng)
    return ", ".join(lines) if rng.random() < 0.4 else "\n".join(lines)


def _hour(rng: random.Random, world: World, manner: Manner) -> str:
    return manner.hour(rng.randrange(5 * 60, 24 * 60))


def _place(rng: random.Random, world: World, manner: Manner) -> str:
    return values.city(rng)


def _first(rng: random.Random, world: World, manner: Manner) -> str:
    return values.first_name(rng, world)


def _last(rng: random.Random, world: World, manner: Manner) -> str:
    return values.last_name(rng, world)


_COUNTRIES = ("Australian", "Austrian", "Belgian", "Brazilian", "British", "Bulgarian", "Canadian", "Chilean", "Danish",
              "Dutch", "Estonian", "Finnish", "French", "German", "Greek", "Indian", "Irish", "Italian", "Japanese",
              "Kenyan", "Latvian", "Maltese", "Mexican", "Norwegian", "Polish", "Swedish", "Swiss")  # fmt: skip
_JOBS = ("Accountant", "Architect", "Baker", "Bus driver", "Carpenter", "Chemist", "Cook", "Dentist", "Editor",
         "Electrician", "Engineer", "Farmer", "Gardener", "Journalist", "Lawyer", "Librarian", "Mechanic", "Nurse",
         "Painter", "Pilot", "Plumber", "Surveyor", "Tailor", "Teacher", "Translator", "Waiter")  # fmt: skip
_DEPARTMENTS = ("Accounts", "Archive", "Design", "Finance", "Legal", "Logistics", "Maintenance", "Marketing",
                "Personnel", "Planning", "Purchasing", "Research", "Sales", "Security", "Stores",
                "Training")  # fmt: skip
_NUMBER = ("######", "########", "##-####-##", "###-###-###", "@@######", "@-######", "#### ####", "@@-####-@",
           "##########", "@@@-#####", "#####/##", "*****-*****", "@## ### ###")  # fmt: skip


def _numbered(what: str, *more: str, names: tuple[str, ...] = ()) -> Kind:
    """Of what is known by a number: "Policy number", "Policy no."."""
    labels = (f"{what} number", f"{what} no.", f"{what} No", f"{what} #", *more)
    return Kind(labels, (f"{what.lower()} number", *names), _of(*_NUMBER))


KINDS: dict[str, Kind] = {
    "name": Kind(("Name", "Full name", "Name in full", "Applicant", "Your name"), ("name", "full name"), _person),
    "first_name": Kind(("First name", "Given name", "Forename"), ("first name", "given name"), _first),
    "last_name": Kind(("Last name", "Surname", "Family name"), ("last name", "surname", "family name"), _last),
    "birth": Kind(("Date of birth", "Birth date", "Born", "D.O.B."),
                  ("date of birth", "birth date"), _date(1930, 2012)),
    "birth_place": Kind(("Place of birth", "Birthplace"), ("place of birth", "birthplace"), _place),
    "nationality": Kind(("Nationality", "Citizenship"), ("nationality",), _one(*_COUNTRIES)),
    "address": Kind(("Address", "Home address", "Street address"), ("address", "home address"), _address),
    "city": Kind(("City", "Town", "Town/City"), ("city", "town"), _place),
    "postcode": Kind(("Postcode", "ZIP code", "Postal code"), ("postcode", "postal code"),
                     _of("#####", "@@# #@@", "@## #@@", "####", "#####-####", "@#@ #@#")),
    "phone": Kind(("Phone", "Telephone", "Tel.", "Phone number", "Tel. no."), ("phone number", "telephone number"),
                  lambda rng, world, manner: values.phone(rng)),
    "mobile": Kind(("Mobile", "Cell phone", "Mobile no."), ("mobile number", "mobile phone number"),
                   lambda rng, world, manner: values.phone(rng)),
    "fax": Kind(("Fax", "Fax no.", "Telefax"), ("fax number",), lambda rng, world, manner: values.phone(rng)),
    "email": Kind(("E-mail", "Email", "E-mail address", "Email address"), ("e-mail address", "email address"),
                  lambda rng, world, manner: values.email(rng, world)),
    "website": Kind(("Website", "Web", "Internet"), ("website", "web address"),
                    lambda rng, world, manner: "www." + values.website(rng, world)),
    "account": _numbered("Account", "Acct. no.", "A/C no."),
    "policy": _numbered("Policy"),
    "member": _numbered("Member", "Membership no.", "Member ID", names=("membership number",)),
    "customer": _numbered("Customer", "Client no.", "Customer ID", names=("client number",)),
    "passport": _numbered("Passport"),
    "licence": _numbered("Licence", "License no.", names=("license number",)),
    "tax_id": Kind(("Tax number", "Tax ID", "Tax no."), ("tax number", "tax ID"), _of(*_NUMBER)),
    "insurance": _numbered("Insurance", names=("number of the insurance",)),
    "reference": Kind(("Reference", "Ref.", "Our ref.", "Reference no.", "Your reference"),
                      ("reference", "reference number"), _code),
    "case": _numbered("Case", "File no.", names=("file number",)),
    "student": _numbered("Student", "Student ID", names=("student ID",)),
    "staff": _numbered("Staff", "Employee no.", "Staff ID", names=("employee number",)),
    "patient": _numbered("Patient", "Patient ID", names=("patient ID",)),
    "plate": Kind(("Registration", "Vehicle registration", "Licence plate", "Plate no."),
                  ("vehicle registration", "licence plate", "plate number"),
                  _of("@@## @@@", "@@@-####", "#@@@###", "@ ## ####", "@@-###-@@")),
    "serial": Kind(("Serial number", "Serial no.", "S/N"), ("serial number",), _code),
    "model": Kind(("Model", "Model no.", "Type"), ("model", "model number"), _of("@@-###", "@####", "@@@ ##@", "@-##")),
    "order": _numbered("Order", "Order ref.", names=("number of the order",)),
    "tracking": Kind(("Tracking number", "Tracking no.", "Consignment no."), ("tracking number", "consignment number"),
                     _of("@@#########@@", "#### #### ####", "1Z##########", "@@## #### #### #")),
    "booking": Kind(("Booking reference", "Booking code", "Confirmation", "PNR"),
                    ("booking reference", "booking code", "confirmation code"), _of("@@@###", "******", "@@@@@@")),
    "ticket": _numbered("Ticket"),
    "employer": Kind(("Employer", "Name of employer"), ("employer",), _company),
    "company": Kind(("Company", "Company name", "Organisation"), ("company", "name of the company"), _company),
    "occupation": Kind(("Occupation", "Profession", "Job title"), ("occupation", "profession"), _one(*_JOBS)),
    "department": Kind(("Department", "Dept.", "Division"), ("department",), _one(*_DEPARTMENTS)),
    "doctor": Kind(("Doctor", "Physician", "Family doctor"), ("doctor", "name of the doctor"), _person),
    "contact": Kind(("Emergency contact", "Next of kin"), ("emergency contact", "next of kin"), _person),
    "height": Kind(("Height",), ("height",), lambda rng, world, manner: f"{rng.randrange(145, 205)} cm"),
    "weight": Kind(("Weight", "Gross weight"), ("weight",),
                   lambda rng, world, manner: f"{rng.randrange(1, 400) / 10:.1f} {rng.choice(('kg', 'kg', 'lb'))}"),
    "issued": Kind(("Date of issue", "Issued", "Issue date", "Issued on"), ("date of issue", "issue date"),
                   _date(2015, 2024)),
    "expiry": Kind(("Date of expiry", "Expires", "Valid until", "Expiry date"), ("expiry date", "date of expiry"),
                   _date(2025, 2040)),
    "start": Kind(("Start date", "Starting on", "Begins"), ("start date",), _date(2018, 2026)),
    "end": Kind(("End date", "Ending on", "Ends"), ("end date",), _date(2027, 2034)),
    "date": Kind(("Date", "Date signed", "Dated"), ("date",), _date(2016, 2029)),
    "amount": Kind(("Amount", "Sum", "Amount payable"), ("amount", "amount of money"), _money(5, 9000)),
    "fee": Kind(("Fee", "Fee paid", "Charge"), ("fee", "charge"), _money(2, 400)),
    "deposit": Kind(("Deposit", "Deposit paid"), ("deposit",), _money(20, 2500)),
    "income": Kind(("Monthly income", "Income", "Net income"), ("income", "monthly income"), _money(900, 9000)),
    "rent": Kind(("Monthly rent", "Rent"), ("rent", "monthly rent"), _money(300, 4000)),
    "iban": Kind(("IBAN", "IBAN no."), ("IBAN",), lambda rng, world, manner: values.iban(rng)),
    "bic": Kind(("BIC", "SWIFT/BIC", "SWIFT code"), ("BIC", "SWIFT code"), _of("@@@@@@@@", "@@@@@@##", "@@@@@@@@###")),
    "sort_code": Kind(("Sort code", "Bank code"), ("sort code", "bank code"), _of("##-##-##", "######", "## ## ##")),
    "bank": Kind(("Bank", "Name of bank"), ("bank", "name of the bank"),
                 lambda rng, world, manner: f"{values.city(rng)} {rng.choice(('Bank', 'Savings Bank', 'Trust'))}"),
    "payee": Kind(("Payee", "Pay to", "Beneficiary", "Pay to the order of"), ("payee", "beneficiary"), _person),
    "payer": Kind(("Payer", "Paid in by", "Account holder"), ("payer", "account holder"), _person),
    "cheque": _numbered("Cheque", "Check no.", names=("check number",)),
    "purpose": Kind(("Purpose", "Payment details", "For"), ("purpose of the payment", "payment details"),
                    lambda rng, world, manner: rng.choice(("Invoice ", "Rent ", "Fees ")) + world.texts.code(rng)),
    "flight": Kind(("Flight", "Flight no."), ("flight", "flight number"), _of("@@###", "@@ ###", "@@ ####", "@# ###")),
    "train": Kind(("Train", "Train no."), ("train", "train number"), _of("IC ###", "@@ ####", "####", "RE ##")),
    "gate": Kind(("Gate",), ("gate",), _of("@##", "@#", "##", "#@")),
    "seat": Kind(("Seat", "Seat no."), ("seat", "seat number"), _of("##@", "#@", "##", "@##", "@-##")),
    "row": Kind(("Row",), ("row",), _of("@", "##", "@@", "R#")),
    "coach": Kind(("Coach", "Carriage", "Wagon"), ("coach", "carriage"), _of("##", "@", "###")),
    "platform": Kind(("Platform", "Track"), ("platform", "track"), _of("##", "#", "#@", "##@")),
    "class": Kind(("Class", "Travel class"), ("class", "travel class"),
                  _one("Economy", "Business", "First", "Standard", "Premium", "Second")),
    "group": Kind(("Group", "Boarding group", "Zone"), ("boarding group", "boarding zone"), _of("@", "#", "@#", "G#")),
    "origin": Kind(("From", "Origin", "Departing from"), ("origin", "place of departure"), _place),
    "destination": Kind(("To", "Destination", "Arriving at"), ("destination", "place of arrival"), _place),
    "departure": Kind(("Departs", "Departure", "Dep. time", "Leaves"), ("departure time", "time of departure"), _hour),
    "arrival": Kind(("Arrives", "Arrival", "Arr. time"), ("arrival time", "time of arrival"), _hour),
    "boarding": Kind(("Boarding", "Boarding time", "Boards at"), ("boarding time",), _hour),
    "passenger": Kind(("Passenger", "Passenger name", "Traveller"), ("passenger", "name of the passenger"), _person),
    "price": Kind(("Price", "Fare", "Price paid"), ("price", "fare"), _money(4, 900)),
    "venue": Kind(("Venue", "Location", "Place"), ("venue", "location"),
                  lambda rng, world, manner: f"{values.city(rng)} {rng.choice(('Hall', 'Arena', 'Theatre', 'Park'))}"),
    "doors": Kind(("Doors open", "Doors"), ("time at which the doors open",), _hour),
    "time": Kind(("Time", "Hour"), ("time",), _hour),
    "block": Kind(("Block", "Section", "Stand"), ("block", "section"), _of("@", "@#", "###", "##@")),
    "parcels": Kind(("Parcels", "Pieces", "No. of parcels"), ("number of parcels", "number of pieces"),
                    lambda rng, world, manner: f"{rng.randrange(1, 9)} of {rng.randrange(9, 20)}"),
    "service": Kind(("Service", "Delivery"), ("service", "kind of delivery"),
                    _one("Express", "Standard", "Overnight", "Economy 48h", "Same day", "Priority", "Air freight")),
    "hours": Kind(("Hours worked", "Hours"), ("hours worked", "number of hours"),
                  lambda rng, world, manner: f"{rng.randrange(4, 180)}.{rng.choice('05')}"),
    "room": Kind(("Room", "Room no.", "Office"), ("room", "room number"), _of("###", "@###", "#.##", "@-##")),
    "subject": Kind(("Subject", "Re", "Regarding"), ("subject",), lambda rng, world, manner: world.texts.title(rng)),
}  # fmt: skip

# Who asks for the one that is not there may mean the other, so that is never asked. The first of a line goes with each.
_NEAR: dict[str, tuple[str, ...]] = {
    "name": ("first_name", "last_name", "passenger", "payer", "payee", "recipient", "sender", "cashier", "doctor",
             "contact", "company", "shop"),
    "company": ("shop", "sender", "recipient", "employer"),
    "recipient": ("customer", "payee", "name", "passenger"),
    "sender": ("shop", "payer"),
    "date": ("issued", "start"),
    "due": ("expiry", "end"),
    "expiry": ("end",),
    "issued": ("start",),
    "amount": ("total", "price", "fee", "subtotal", "deposit", "rent", "income"),
    "total": ("price", "fee"),
    "price": ("fee", "rent"),
    "time": ("departure", "arrival", "boarding", "doors"),
    "doors": ("boarding",),
    "address": ("city", "postcode", "venue", "sender_address", "recipient_address"),
    "city": ("postcode", "sender_address", "recipient_address", "venue", "origin", "destination", "birth_place"),
    "postcode": ("sender_address", "recipient_address"),
    "venue": ("origin", "destination", "room"),
    "reference": ("booking", "ticket", "order", "case", "invoice_number", "receipt_number", "code", "tracking",
                  "serial", "purpose", "customer", "policy", "account", "member"),
    "code": ("booking", "reference", "password", "approval", "serial", "group"),
    "account": ("iban", "card", "customer"),
    "sort_code": ("bic",),
    "phone": ("mobile",),
    "tax_id": ("vat_number",),
    "tax": ("vat_number", "tax_id"),
    "row": ("block",),
    "group": ("block",),
    "flight": ("train",),
    "subject": ("purpose", "event"),
    "order": ("receipt_number",),
    "tip": ("change",),
}  # fmt: skip
# Looser questions ("Which date is on it?") are asked only where none of these is beside the one that is meant.
_RIVALS: dict[str, frozenset[str]] = {
    "date": frozenset({"due", "issued", "start", "end", "expiry", "birth"}),
    "issued": frozenset({"date", "start"}),
    "expiry": frozenset({"end", "due"}),
    "name": frozenset({"doctor", "contact", "payer", "payee", "cashier", "company", "employer"}),
    "phone": frozenset({"mobile", "fax"}),
    "amount": frozenset({"fee", "deposit", "income", "rent"}),
    "time": frozenset({"departure", "arrival", "boarding", "doors"}),
    "seat": frozenset({"row", "block", "coach"}),
    "passenger": frozenset({"name"}),
}


def is_surely_missing(kind: str, present: frozenset[str]) -> bool:
    """Whether a document with these kinds has neither that one nor one that could be taken for it."""
    near = {other for other in present if other in _NEAR.get(kind, ()) or kind in _NEAR.get(other, ())}
    return kind not in present and not near


def is_alone(kind: str, present: frozenset[str]) -> bool:
    """Whether a loose question for that kind can mean nothing else of what is there."""
    return not _RIVALS.get(kind, frozenset()) & present


def filled(rng: random.Random, world: World, manner: Manner, kind: str) -> Field:
    """A field of that kind with a label, a name and a new value."""
    found = KINDS[kind]
    return Field(kind, found.make(rng, world, manner), found.names, rng.choice(found.labels))


def fill(rng: random.Random, world: World, manner: Manner, kinds: Sequence[str]) -> list[Field]:
    return [filled(rng, world, manner, kind) for kind in kinds]
