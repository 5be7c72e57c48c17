from __future__ import annotations

import os
from pathlib import Path

import pytest

from mosaic_gateway.transfer import Source, find_sources
from mosaic_gateway.transfer.sources import read
from mosaic_hookspecs.errors import Invalid


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.csv", "csv"),
        ("a.JSON", "json"),
        ("a.ndjson", "ndjson"),
        ("a.jsonl", "ndjson"),
        ("a.ics", "ics"),
        ("a.md", "markdown"),
        ("a.markdown", "markdown"),
    ],
)
def test_the_name_of_a_file_tells_its_format(write, tasks, name, form):
    path = write(name, "x")
    assert find_sources([path], "auto", tasks) == [Source(path, form)]


def test_a_folder_is_markdown(write, tasks):
    write("d/a.md", "x")
    assert find_sources([Path("d")], "auto", tasks) == [Source(Path("d"), "markdown")]


def test_a_chosen_format_overrides_the_name(write, tasks):
    path = write("a.txt", "x")
    assert find_sources([path], "csv", tasks) == [Source(path, "csv")]


def test_an_unknown_name_asks_for_the_format(write, tasks):
    with pytest.raises(
        Invalid, match=r"a\.txt: its name does not tell the format: add --format with csv, json"
    ):
        find_sources([write("a.txt", "x")], "auto", tasks)


def test_every_path_that_cannot_be_imported_is_named(write, gauges):
    os.mkfifo(write("x", "").with_name("pipe.csv"))
    write("d/a.md", "x")
    paths = [
        Path("gone.csv"),
        write("c.ics", "x"),
        Path("pipe.csv"),
        Path("d"),
        write("fine.csv", "reading\n1\n"),
    ]
    with pytest.raises(Invalid) as error:
        find_sources(paths, "auto", gauges)
    assert [(f.where, f.message.split(":")[0].split(";")[0]) for f in error.value.faults] == [
        ("gone.csv", "cannot be read"),
        ("c.ics", "ics needs fields that gauges lacks"),
        ("pipe.csv", "not a regular file"),
        ("d", "markdown needs fields that gauges lacks"),
    ]
    assert error.value.exit_code == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_out_of_reach_is_named(write, tasks):
    path = write("closed/a.csv", "title\nA\n")
    path.parent.chmod(0)
    with pytest.raises(Invalid, match=r"a\.csv: cannot be read: Permission denied"):
        find_sources([path], "auto", tasks)


def test_a_folder_is_refused_where_a_file_is_needed(write, tasks):
    write("d/a.csv", "x")
    with pytest.raises(Invalid, match="a folder, but csv needs a file"):
        find_sources([Path("d")], "csv", tasks)


@pytest.mark.parametrize("form", ["csv", "json", "ndjson", "ics", "markdown"])
def test_a_file_that_cannot_be_opened_is_a_fault_not_a_crash(write, tasks, form):
    inside_a_file = write("file", "x") / "below"
    (fault,) = read(Source(inside_a_file, form), tasks)
    assert fault.where == "file/below"
    assert fault.message == "cannot be read: Not a directory"
