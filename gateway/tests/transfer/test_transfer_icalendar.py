from __future__ import annotations

import pytest

from mosaic_gateway.transfer import Source
from mosaic_gateway.transfer.sources import read
from mosaic_hookspecs.errors import Fault

HEAD = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Example//EN\r\n"
TAIL = "END:VCALENDAR\r\n"
OWN_ZONE = (
    "BEGIN:VTIMEZONE\r\nTZID:Office\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\n"
    "TZOFFSETFROM:+0300\r\nTZOFFSETTO:+0300\r\nTZNAME:OFF\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n"
)


def todo(*lines: str, uid: str = "u1") -> str:
    return "\r\n".join(["BEGIN:VTODO", f"UID:{uid}", "SUMMARY:Plan", *lines, "END:VTODO", ""])


@pytest.fixture
def read_text(write, tasks):
    return lambda text: list(read(Source(write("c.ics", text), "ics"), tasks))


@pytest.fixture
def parse(read_text):
    return lambda *components: read_text(HEAD + "".join(components) + TAIL)


def test_every_mapped_property_arrives_in_its_field(parse):
    (record,) = parse(
        todo(
            "DESCRIPTION:First\\, then\\nsecond; a long line that is",
            "  folded",
            "STATUS:IN-PROCESS",
            "PRIORITY:3",
            "DUE:20260301T120000Z",
            "COMPLETED:20260302T130000Z",
            "CATEGORIES:design,client\\, signed",
            "CATEGORIES:ž",
            "X-OTHER:is passed over",
        )
    )
    assert record.where == "c.ics:VTODO 1 (line 4)"
    assert record.fields == {
        "external_id": "u1",
        "title": "Plan",
        "body": "First, then\nsecond; a long line that is folded",
        "status": "doing",
        "priority": 3,
        "due_at": "2026-03-01T12:00:00+00:00",
        "completed_at": "2026-03-02T13:00:00+00:00",
        "tags": ["design", "client, signed", "ž"],
    }


def test_values_are_plain_python_not_the_library_s_kinds(parse):
    (record,) = parse(todo("DESCRIPTION:x", "PRIORITY:3", "CATEGORIES:a"))
    assert {type(value) for value in record.fields.values()} == {str, int, list}
    assert type(record.fields["tags"][0]) is str


def test_what_is_not_said_is_absent(parse):
    assert parse(todo())[0].fields == {"external_id": "u1", "title": "Plan"}


@pytest.mark.parametrize(
    ("status", "expected"),
    [("NEEDS-ACTION", "open"), ("IN-PROCESS", "doing"), ("COMPLETED", "done"), ("cancelled", "cancelled")],
)
def test_each_status_of_the_rfc_has_ours(parse, status, expected):
    assert parse(todo(f"STATUS:{status}"))[0].fields["status"] == expected


@pytest.mark.parametrize(
    ("due", "expected"),
    [
        ("DUE;VALUE=DATE:20260301", "2026-03-01T00:00:00+00:00"),
        ("DUE:20260301T120000", "2026-03-01T12:00:00+00:00"),
        ("DUE;TZID=Europe/Berlin:20260301T120000", "2026-03-01T12:00:00+01:00"),
        ("DUE;TZID=Europe/Berlin:20260701T120000", "2026-07-01T12:00:00+02:00"),
        ("DUE;TZID=Office:20260301T120000", "2026-03-01T12:00:00+03:00"),
    ],
)
def test_a_due_date_is_an_exact_moment(parse, due, expected):
    (record,) = parse(todo(due), OWN_ZONE)  # the zone stands below the task, as the RFC allows
    assert record.fields["due_at"] == expected


def test_only_tasks_are_read_and_the_numbers_of_lines_stay_right(parse):
    event = "BEGIN:VEVENT\r\nUID:e\r\nDTSTART:20260101T000000Z\r\nEND:VEVENT\r\n"
    alarm = ("BEGIN:VALARM", "ACTION:DISPLAY", "TRIGGER:-PT1H", "DESCRIPTION:Soon", "END:VALARM")
    found = parse(event, todo(*alarm), event, todo(uid="u2"))
    assert [r.where for r in found] == ["c.ics:VTODO 1 (line 8)", "c.ics:VTODO 2 (line 21)"]
    assert "body" not in found[0].fields


def test_a_changed_occurrence_of_a_repeating_task_is_a_row_of_its_own(parse):
    found = parse(todo("RRULE:FREQ=DAILY"), todo("RECURRENCE-ID:20260301T120000Z"))
    assert [r.fields["external_id"] for r in found] == ["u1", "u1/2026-03-01T12:00:00+00:00"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("DUE:banana", "banana"),
        ("DUE;VALUE=DATE:20261301", "20261301"),
        ("DUE;TZID=Mars/Base:20260301T120000", "time zone 'Mars/Base' is neither known nor defined"),
        ("DUE;VALUE=DURATION:PT1H", "DUE"),
        ("PRIORITY:high", "high"),
        ("STATUS:LATER", "STATUS 'LATER' is not one of NEEDS-ACTION, IN-PROCESS"),
        ("SUMMARY:Again", "SUMMARY is there 2 times"),
        ("no colon here", "no colon here"),
    ],
)
def test_one_broken_task_is_named_and_does_not_hide_the_others(parse, line, words):
    fault, record = parse(todo(line), todo(uid="u2"))
    assert fault.where == "c.ics:VTODO 1 (line 4)"
    assert words in fault.message
    assert record.fields["external_id"] == "u2"


def test_a_task_without_uid_is_a_fault(parse):
    assert parse("BEGIN:VTODO\r\nSUMMARY:x\r\nEND:VTODO\r\n") == [Fault("c.ics:VTODO 1 (line 4)", "no UID")]


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("title,body\nA,B\n", "c.ics:1", "expected BEGIN:VCALENDAR"),
        (HEAD + todo(), "c.ics:1", "VCALENDAR has no END"),
        (
            HEAD + "BEGIN:VTODO\r\nUID:1\r\n" + TAIL,
            "c.ics:6",
            "END:VCALENDAR found, but VTODO of line 4 is open",
        ),
        (HEAD + "END:VTODO\r\n", "c.ics:4", "END:VTODO found, but VCALENDAR of line 1 is open"),
        (HEAD + TAIL + "END:VCALENDAR\r\n", "c.ics:5", "expected BEGIN:VCALENDAR"),
        (HEAD + "BEGIN:VTIMEZONE\r\nTZID:x\r\nrubbish\r\nEND:VTIMEZONE\r\n" + TAIL, "c.ics:4", "rubbish"),
        (HEAD + TAIL, "c.ics", "holds no rows"),
        ("", "c.ics", "holds no rows"),
        (HEAD.encode() + b"X-A:\xff\r\n", "c.ics:4", "is not UTF-8"),
    ],
)
def test_a_file_that_is_no_calendar_is_answered_with_the_line(read_text, text, where, words):
    fault = read_text(text)[-1]
    assert isinstance(fault, Fault)
    assert fault.where == where
    assert words in fault.message
