from __future__ import annotations

import os
from pathlib import Path

import pytest

from mosaic_gateway.transfer import Source
from mosaic_gateway.transfer.records import Record
from mosaic_gateway.transfer.sources import read
from mosaic_hookspecs.errors import Fault


@pytest.fixture
def parse(write, tasks):
    def parse(content, name="notes/a.md"):
        return list(read(Source(write(name, content), "markdown"), tasks))

    return parse


def test_front_matter_gives_title_id_and_tags(parse):
    assert parse("---\ntitle: Plan 🧭\nid: 7\ntags: [a, 2026]\nlayout: wide\n---\n\n# Other\n\ntext\n") == [
        Record(
            "notes/a.md",
            {"external_id": "7", "title": "Plan 🧭", "body": "# Other\n\ntext", "tags": ["a", "2026"]},
        )
    ]


def test_crlf_and_a_byte_order_mark_change_nothing(parse):
    (record,) = parse(b"\xef\xbb\xbf---\r\ntitle: A\r\ntags: one, two\r\n---\r\nline\r\nline\r\n")
    assert record.fields == {
        "external_id": "a.md",
        "title": "A",
        "body": "line\nline",
        "tags": ["one", "two"],
    }


@pytest.mark.parametrize(
    ("body", "title"),
    [
        ("# The *first* `heading`\n\n## Second", "The first heading"),
        ("text\n\nUnderlined\n==========\n", "Underlined"),
        ("```sh\n# a comment\n```\n\n## Real", "Real"),
        ("no heading", "a"),
        ("", "a"),
    ],
)
def test_without_a_title_the_first_heading_serves_and_else_the_file_name(parse, body, title):
    assert parse(body)[0].fields["title"] == title


def test_a_rule_in_the_text_is_no_front_matter(parse):
    text = "before\n\n---\n\nbetween\n\n---\n\nafter"
    assert parse(text)[0].fields["body"] == text


def test_a_folder_is_read_whole_in_order_without_what_is_hidden_or_no_markdown(write, tasks):
    for name in ("d/b.md", "d/a/z.MD", "d/a/y.markdown", "d/.git/x.md", "d/.h.md", "d/c.txt"):
        write(name, "text")
    found = list(read(Source(Path("d"), "markdown"), tasks))
    assert [r.where for r in found] == ["d/b.md", "d/a/y.markdown", "d/a/z.MD"]
    assert [r.fields["external_id"] for r in found] == ["b.md", "a/y.markdown", "a/z.MD"]


def test_a_link_back_to_the_folder_does_not_make_it_endless(write, tasks):
    write("d/a.md", "text")
    Path("d/loop").symlink_to(Path("d").resolve())
    assert len(list(read(Source(Path("d"), "markdown"), tasks))) == 1


def test_a_folder_without_markdown_is_a_fault(write, tasks):
    write("d/c.txt", "text")
    assert list(read(Source(Path("d"), "markdown"), tasks)) == [Fault("d", "holds no rows")]


@pytest.mark.parametrize(
    ("content", "where", "words"),
    [
        ("---\ntitle: ok\nkey: [1\n---\ntext", "notes/a.md:4", "front matter is not YAML"),
        ("---\n\n\ntitle: a: b\n---\ntext", "notes/a.md:4", "front matter is not YAML"),
        ("---\ndate: 2026-13-01\n---\n", "notes/a.md", "front matter is not YAML: month"),
        ("---\nkey: " + "[" * 50_000 + "]" * 50_000 + "\n---\n", "notes/a.md:1", "nested too deeply"),
        ("---\ntitle: x\n", "notes/a.md:1", "never closes"),
        ("---\njust words\n---\ntext", "notes/a.md:1", "key: value"),
        ("---\ntitle: [a]\n---\n", "notes/a.md", "title is not a single value"),
        ("---\ntags: {a: 1}\n---\n", "notes/a.md", "tags is not a list of words"),
        ("---\ntags: [[a]]\n---\n", "notes/a.md", "tags is not a list of words"),
        ("---\nid: 0x" + "f" * 20_000 + "\n---\n", "notes/a.md", "id is a number too long"),
        ("---\ntags: [0x" + "f" * 20_000 + "]\n---\n", "notes/a.md", "tags is a number too long"),
        (b"# T\n\ncaf\xe9", "notes/a.md:3", "is not UTF-8"),
    ],
)
def test_a_broken_file_is_answered_with_the_place_and_the_reason(parse, content, where, words):
    (fault,) = parse(content)
    assert isinstance(fault, Fault)
    assert fault.where == where
    assert words in fault.message


def test_yaml_can_make_no_objects(parse, tmp_path):
    (fault,) = parse(f"---\ntitle: !!python/object/apply:os.mkdir ['{tmp_path}/made']\n---\n")
    assert "front matter is not YAML" in fault.message
    assert not (tmp_path / "made").exists()


def test_yaml_that_would_unfold_to_billions_of_words_is_refused(parse):
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)), "tags: *a59"]
    (fault,) = parse("---\n" + "\n".join(lines) + "\n---\n")
    assert "tags is not a list of words" in fault.message


def test_yaml_that_would_merge_billions_of_keys_is_refused(parse):
    lines = [
        "a0: &a0 {k: v}",
        *(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], x{n}: 1}}" for n in range(1, 60)),
    ]
    (fault,) = parse("---\n" + "\n".join(lines) + "\n---\n")
    assert "front matter is not YAML" in fault.message


def test_a_folder_brings_in_nothing_from_outside_of_it(write, tasks):
    write("secret.md", "the importer's own")
    write("d/a.md", "text")
    Path("d/inside.md").symlink_to("a.md")
    Path("d/nowhere.md").symlink_to("nowhere.md")
    Path("d/outside.md").symlink_to(Path("secret.md").resolve())
    os.mkfifo("d/pipe.md")
    found = list(read(Source(Path("d"), "markdown"), tasks))
    assert [item.where for item in found if isinstance(item, Record)] == ["d/a.md", "d/inside.md"]
    refused = [item for item in found if isinstance(item, Fault)]
    assert [fault.where for fault in refused] == ["d/nowhere.md", "d/outside.md", "d/pipe.md"]
    assert {fault.message for fault in refused} == {"not a regular file of this folder"}


def test_one_broken_file_does_not_hide_the_others(write, tasks):
    write("d/a.md", b"\xff")
    write("d/b.md", "text")
    assert [type(item) for item in read(Source(Path("d"), "markdown"), tasks)] == [Fault, Record]
