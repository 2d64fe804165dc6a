#!/usr/bin/env python3
"""Writes the example's source files: what an HR and a badge system export on two mornings, flaws included.

The same files every time: a seeded generator, fixed dates. Everyone in them is made up.
"""

import argparse
import csv
import random
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TypeVar

DAY1, DAY2 = date(2026, 3, 2), date(2026, 3, 3)
HR_COLUMNS = (
    "Employee ID", "Last name", "First name", "E-mail", "Department", "Title", "Location", "Manager ID", "Start date",
    "End date",
)  # fmt: skip
BADGE_COLUMNS = ("badge_no", "holder", "employee_no", "status", "issued", "building")

GIVEN_NAMES = """Adam Agnieszka Amélie Ana Anna Beatriz Björn Camille Chloé Ciarán Claire Daniel David Elin Élodie Emil Emma
Eva Felix Filip François Gabriel Giulia Håkan Hanna Hélène Ines Ingrid Jakub Jan João Jonas José Joséphine Julia Jürgen
Kamil Karin Katarzyna Lars Laura Lea Léa Liam Lucía Lukas Łukasz Magdalena Maja Márcia Maria Marta Mateusz Mia Michał
Nadia Niamh Nils Noah Nuno Oskar Paul Paweł Piotr Rafael Renée Róisín Sara Sean Simon Sofia Søren Stefan Tomás Ursula
Verena Yannick Yves Zofia Zoë"""
SURNAMES = """Almeida Andersson Bächler Bauer Berger Bernard Bianchi Björklund Blanc Borges Brennan Bühler Byrne Carvalho
Chevalier Conti Costa Dąbrowski Dubois Dupont Egli Eriksson Fernandes Ferrari Fischer Fitzgerald Fournier Frei Furrer
Gallagher Garcia Gonçalves Graf Grüter Gustafsson Huber Hüsler Jäger Jansson Johansson Kamiński Keller Kowalczyk
Kowalski Kozłowski Larsson Lefèvre Lewandowski Lindqvist Lundström Magalhães Mäder Martin Mazur Meier Meyer Moreau Müller
Muñoz Murphy Núñez Nilsson Nowak O'Brien O'Connor Olsson Öberg Pereira Persson Petit Pinto Ribeiro Rossi Rousseau Roux
Ruiz Sánchez Santos Schäfer Schmid Schneider Schröder Silva Sjöberg Steiner Studer Suter Szymański Wagner Walsh Weber
Wiśniewski Wójcik Wyss Zając Zieliński Zimmermann"""
DEPARTMENTS = {
    "Finance": ("Accountant", "Controller", "Payroll Specialist", "Treasury Analyst"),
    "Human Resources": ("HR Business Partner", "HR Assistant", "Recruiter"),
    "IT Operations": ("System Engineer", "Service Desk Agent", "Network Engineer", 'Engineer "on call"'),
    "Legal, Risk & Compliance": ("Counsel", "Compliance Officer", "Risk Analyst"),
    "Logistics": ("Dispatcher", "Warehouse Operator", "Customs Specialist"),
    "Manufacturing": ("Machine Operator", "Quality Inspector", "Shift Planner", "Operator\nNight Shift"),
    "Marketing": ("Brand Manager", "Content Editor", "Event Coordinator"),
    "Purchasing": ("Buyer", "Buyer; deputy", "Category Manager"),
    "Research, Development": ("Scientist", "Laboratory Technician", "Software Engineer"),
    "Sales": ("Account Manager", "Inside Sales", "Sales Engineer"),
}
BUILDINGS = {
    "Dublin": "DUB-1", "Genève": "GVA-1", "Kraków": "KRK-2", "Malmö": "MMA-1",
    "München": "MUC-3", "São Paulo": "GRU-1", "Zürich": "ZRH-1",
}  # fmt: skip

Item = TypeVar("Item")


class Dice:
    """Chance that repeats: only `random()` itself is promised to be the same in every Python version."""

    def __init__(self, seed: int) -> None:
        self.roll = random.Random(seed).random  # noqa: S311 - sample data, not a secret

    def pick(self, items: Sequence[Item]) -> Item:
        """Returns one of the items."""
        return items[int(self.roll() * len(items))]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """Returns the items in another order."""
        return sorted(items, key=lambda _: self.roll())

    def day(self, first: date, last: date) -> date:
        """Returns a day from `first` to `last`."""
        return first + timedelta(days=int(self.roll() * ((last - first).days + 1)))


@dataclass
class Person:
    """A person as HR knows them; `badges` holds badge number, status and day of issue."""

    number: int
    surname: str
    given_name: str
    mail: str
    department: str
    title: str
    location: str
    manager_id: str
    start: date
    end: date | None
    badges: list[tuple[int, str, date]]


def ascii_name(name: str) -> str:
    """Returns the name as a mail address spells it."""
    plain = unicodedata.normalize("NFKD", name.lower().translate(str.maketrans("łø", "lo")))
    return "".join(letter for letter in plain if letter.isascii() and letter.isalpha())


def hire(dice: Dice, number: int, manager_id: str, department: str, mails: set[str], title: str = "") -> Person:
    """Returns a new person with an address that nobody has."""
    given_name, surname = dice.pick(GIVEN_NAMES.split()), dice.pick(SURNAMES.split())
    name, count = f"{ascii_name(given_name)}.{ascii_name(surname)}", 1
    while (mail := f"{name}{count if count > 1 else ''}@example.org") in mails:
        count += 1
    mails.add(mail)
    start = dice.day(date(2008, 1, 1), date(2026, 2, 2))
    return Person(
        number, surname, given_name, mail, department, title or dice.pick(DEPARTMENTS[department]),
        dice.pick(list(BUILDINGS)), manager_id, start, None, [(20_000 + number, "active", start)],
    )  # fmt: skip


def company(dice: Dice, mails: set[str]) -> list[Person]:
    """Returns 1,000 people: one at the top, ten heads of department, sixty team leads, and their teams."""
    people = [hire(dice, 1001, "", "Finance", mails, "Chief Executive")]
    for department in DEPARTMENTS:
        people.append(hire(dice, people[-1].number + 1, employee_id(1001), department, mails, f"Head of {department}"))
    heads = people[1:]
    for place in range(60):
        head = heads[place % len(heads)]
        people.append(hire(dice, people[-1].number + 1, employee_id(head.number), head.department, mails, "Team Lead"))
    leads = people[11:]
    while len(people) < 1000:
        lead = dice.pick(leads)
        number = people[-1].number + dice.pick((1, 1, 1, 2, 5))
        people.append(hire(dice, number, employee_id(lead.number), lead.department, mails))
    return people


def employee_id(number: int) -> str:
    """Returns the id as HR is meant to spell it."""
    return f"E-{number:05}"


def hr_rows(dice: Dice, people: Sequence[Person]) -> list[list[str]]:
    """Returns the people as rows of the HR export, spelled as carelessly as people type."""
    rows = []
    for person in people:
        dates = [day.strftime("%d.%m.%Y") if day else "" for day in (person.start, person.end)]
        row = [
            employee_id(person.number), person.surname, person.given_name, person.mail,
            person.department, person.title, person.location, person.manager_id, *dates,
        ]  # fmt: skip
        whim = dice.roll()
        if whim < 0.02:
            row[0] = dice.pick((f"e-{person.number:05}", f"E{person.number:05}", f" E {person.number:05}"))
        elif whim < 0.04:
            row[1:3] = [f"{row[1]} ", f"\u00a0{row[2]}"]
        elif whim < 0.06:
            row[3] = row[3].title()
        elif whim < 0.09:
            row[1:3] = [unicodedata.normalize("NFD", name) for name in row[1:3]]
        rows.append(row)
    return rows


def badge_rows(dice: Dice, people: Sequence[Person]) -> list[list[str]]:
    """Returns the badges as rows of the badge export, where the id is typed at the front desk."""
    rows = []
    for person in people:
        number = person.number
        for badge, status, issued in person.badges:
            spelled = dice.pick(
                (employee_id(number), str(number), f"e{number:05}", f" E-{number:05} ", f"E.{number:05}")
            )
            holder = f"{person.surname}, {person.given_name}"
            typed = dice.pick((status, status.upper(), status.title()))
            rows.append([str(badge), holder, spelled, typed, issued.isoformat(), BUILDINGS[person.location]])
    return rows


def write(folder: Path, as_of: date, hr: Sequence[Sequence[str]], badges: Sequence[Sequence[str]]) -> None:
    """Writes both exports: HR's with semicolons, CRLF and a byte-order mark, the badge system's plain."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "hr.csv").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=";").writerows([["As of", as_of.strftime("%d.%m.%Y")], HR_COLUMNS, *hr])
    with (folder / "badges.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerows([["As of", as_of.isoformat()], BADGE_COLUMNS, *badges])


def with_flaws(dice: Dice, rows: list[list[str]], staff: Sequence[Person]) -> list[list[str]]:
    """Returns the HR rows with what every export has: rows twice, other contracts of staff, blank and broken lines."""
    several = dice.shuffled([person for person in staff if not person.end and person.start < DAY1])
    # Another contract under another spelling of the id: it ended, somebody forgot to end it, or it begins next month.
    ended = [replace(person, start=date(2003, 4, 1), end=date(2006, 9, 30), title="Trainee") for person in several[:9]]
    open_ = [replace(person, start=date(2004, 8, 1), end=None, title="Apprentice") for person in several[9:15]]
    coming = [replace(person, start=date(2026, 4, 1), title="Team Lead") for person in several[15:18]]
    others = hr_rows(dice, ended + open_ + coming)
    for row in others:
        row[0] = row[0].lower().replace("-", "")
    broken = [
        ["", "Nobody", "", "", "Sales", "", "", "", "", ""],
        ["TBD", "Intern", "New", "", "Marketing", "Intern", "Dublin", "", "01.04.2026", ""],
        ["E-08123", "", "Ana", "", "Sales", "Inside Sales", "Genève", "", "01.02.2026", ""],
        ["E-08124", "Truncated", "Row"],
    ]
    twice, mixed = dice.shuffled(rows)[:12], []
    for row in dice.shuffled([*rows, *others, *broken]):
        if row in twice:  # once in haste, without a title perhaps, and once more right below
            mixed.append([row[0].lower(), *row[1:5], dice.pick((row[5], "")), *row[6:]])
        mixed.append(row)
    middle = len(mixed) // 2
    return [*mixed[:middle], [], [""] * len(HR_COLUMNS), *mixed[middle:], [], [f"{len(rows)} employees"]]


def day_one(dice: Dice, people: list[Person]) -> None:
    """Puts people into the states that a company has: gone, going, coming, without manager or badge."""
    leads, staff = people[11:71], iter(dice.shuffled(people[71:]))
    gone = [*leads[:2], *(next(staff) for _ in range(26))]
    for person in gone:
        person.end = dice.day(date(2025, 3, 1), DAY1 - timedelta(days=1))
        person.badges = [(badge, "returned", issued) for badge, _, issued in person.badges]
    for last_day in [DAY1] * 4 + [date(2026, 3, 31)] * 5 + [date(2026, 12, 31)] * 4:
        next(staff).end = last_day
    for first_day in [DAY2] * 3 + [date(2026, 4, 1)] * 5:
        person = next(staff)
        person.start, person.badges = first_day, []
    for manager_id in ["E-09999", "E-09998", "n/a"] * 2 + [employee_id(gone[-1].number), ""] * 5:
        next(staff).manager_id = manager_id
    alone = next(staff)
    alone.manager_id = employee_id(alone.number)
    for _ in range(30):
        next(staff).badges = []
    for _ in range(25):  # lost one, got another
        person = next(staff)
        badge, _, issued = person.badges[0]
        person.badges = [(badge, "lost", issued), (badge + 30_000, "active", dice.day(issued, DAY1))]
    for _ in range(5):  # got another, and the first was never blocked
        person = next(staff)
        badge, _, issued = person.badges[0]
        person.badges.append((badge + 30_000, "active", issued + timedelta(days=20)))


def change_attributes(dice: Dice, staff: Iterator[Person], leads: Sequence[Person]) -> None:
    """Lets members of staff move, be promoted, marry, and lose their badges."""
    for _ in range(17):  # to another team, in another department perhaps
        person, lead = next(staff), dice.pick(leads)
        person.department, person.manager_id = lead.department, employee_id(lead.number)
        person.title = dice.pick(DEPARTMENTS[lead.department])
    for _ in range(8):
        person = next(staff)
        person.location = dice.pick([place for place in BUILDINGS if place != person.location])
    for _ in range(6):
        next(staff).title = "Team Lead"
    for surname in ("Dąbrowska-Weber", "Núñez Müller", "Lindström", "O'Sullivan"):  # married
        person = next(staff)
        person.surname = surname
        person.mail = f"{ascii_name(person.given_name)}.{ascii_name(surname)}@example.org"
    accents = {"Lea": "Léa", "Ines": "Inès", "Maria": "Mária"}
    for _ in range(2):  # HR corrected a name
        person = next(person for person in staff if person.given_name in accents)
        person.given_name = accents[person.given_name]
    for _ in range(5):
        person = next(staff)
        badge, _, issued = person.badges[-1]
        person.badges[-1:] = [(badge, "lost", issued), (badge + 60_000, "active", DAY2)]


def day_two(dice: Dice, people: list[Person], mails: set[str]) -> Person:
    """Lets a day pass: people join, change and leave. Returns somebody to whom nothing happened."""
    last_number, leads = people[-1].number, people[13:71]
    here = [person for person in people[71:] if person.end is None and person.start <= DAY1 and person.badges]
    staff = iter(dice.shuffled(here))
    change_attributes(dice, staff, leads)

    for person in [leads[5], *(next(staff) for _ in range(6))]:
        person.end = DAY1
        person.badges = [(badge, "returned", issued) for badge, _, issued in person.badges]
    for _ in range(3):
        next(staff).end = date(2026, 6, 30)
    for _ in range(4):  # deleted in HR instead of ended
        people.remove(next(staff))

    back = next(person for person in people[71:] if person.end and person.end < DAY1)
    back.start, back.end = DAY2, None
    back.badges.append((back.badges[-1][0] + 60_000, "active", DAY2))
    first_days = [DAY2] * 6 + [date(2026, 3, 1)] * 6 + [date(2026, 4, 1)] * 2
    for number, first_day in enumerate(first_days, start=last_number + 1):
        lead = dice.pick(leads)
        person = hire(dice, number, employee_id(lead.number), lead.department, mails)
        person.start, person.badges = first_day, [(badge, "active", DAY2) for badge, *_ in person.badges]
        people.append(person)
    return next(person for person in staff if person.manager_id == employee_id(leads[0].number))


def main(folder: Path) -> None:
    """Writes both days."""
    dice, mails = Dice(20260302), set[str]()
    people = company(dice, mails)
    # Badges of people whom HR does not know: contractors with an id of their own, visitors without one.
    others = [[str(90_000 + n), "Contractor", str(70_000 + n), "active", "2026-01-12", "ZRH-1"] for n in range(7)]
    others += [[str(95_000 + n), "Visitor", "", "active", "2026-01-12", "ZRH-1"] for n in range(3)]

    day_one(dice, people)
    hr = with_flaws(dice, hr_rows(dice, people), people)
    write(folder / "day1", DAY1, hr, dice.shuffled([*badge_rows(dice, people), *others]))

    unlucky = day_two(dice, people, mails)
    rows = hr_rows(dice, people)
    rows[people.index(unlucky)][8] = "31.02.2019"  # a typing error, for somebody who is simply at work
    hr = with_flaws(dice, rows, [person for person in people if person is not unlucky])
    write(folder / "day2", DAY2, hr, dice.shuffled([*badge_rows(dice, people), *others]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Writes the example's source files, day1 and day2.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent / "data")
    main(parser.parse_args().folder)
