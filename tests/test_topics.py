"""The topic index: complete, and every mapped section is there. Each check is also shown to fail."""

from __future__ import annotations

import copy
import json

import pytest

from tools import topics

# How many subjects each group must hold, numbered 1…n by `item`: what a course on convolutional networks may not
# leave out. A subject may have several entries, so these are lower bounds of the number of entries as well.
SUBJECTS = {
    "Convolution and its parameters": 22,
    "Padding, stride and dilation": 7,
    "Pooling": 7,
    "Receptive field": 4,
    "1×1 convolutions": 1,
    "Activation functions": 3,
    "Flatten, dense and output layers": 3,
    "Batch normalisation": 1,
    "Networks and architectures": 30,  # 26 networks and four general subjects
    "Data sets": 7,
    "Training recipes": 11,  # eight recipes and three lines of parts
    "Transfer learning": 7,
    "Visualisation": 3,
    "Exercises and projects": 5,
    "Applications, further subjects and figures": 3,
}


@pytest.fixture(scope="module")
def data() -> dict:
    return topics.load()


def test_every_entry_leads_somewhere(data):
    if wrong := topics.problems(data):
        pytest.fail("\n".join(wrong), pytrace=False)


def missing(data: dict) -> list[str]:
    """Return the subjects that no entry covers."""
    there = {group["group"]: {entry["item"] for entry in group["entries"]} for group in data["groups"]}
    return [
        f"{name}, item {item}"
        for name, number in SUBJECTS.items()
        for item in range(1, number + 1)
        if item not in there.get(name, ())
    ]


def test_no_subject_is_left_out(data):
    assert not missing(data)
    for group in data["groups"]:
        assert len(group["entries"]) >= SUBJECTS.get(group["group"], 1), group["group"]


def test_the_page_is_up_to_date(data):
    if topics.problems(data):
        pytest.skip("the data are wrong: see test_every_entry_leads_somewhere")
    committed = topics.PAGE.read_text(encoding="utf-8")
    assert committed == topics.render(data), "topics.md differs from topics.yml; run `python -m tools.topics`"


def test_link_names_are_those_of_myst():
    """Our names of headings, which the links use, against MyST's own, on the headings of all pages."""
    mdit = pytest.importorskip("myst_parser.parsers.mdit")
    base = pytest.importorskip("myst_parser.mdit_to_docutils.base")
    config = pytest.importorskip("myst_parser.config.main").MdParserConfig(enable_extensions={"dollarmath"})
    from markdown_it.renderer import RendererHTML
    from markdown_it.tree import SyntaxTreeNode

    parser = mdit.create_md_parser(config, RendererHTML)
    ours = ["A sum, `nn.Conv2d` and *one* kernel's flip: 3×3?", "Cost against $C^2$ weights", "What’s 5 × 5 (again)"]
    for page in topics.notebooks.pages():
        path = topics.find_page(page.removeprefix("book/"))
        ours += topics.headings(path) if path else []
    for heading in ours:
        token = SyntaxTreeNode(parser.parse(f"# {heading}")).children[0]
        assert topics.slug(heading) == base.compute_unique_slug(token, ()), heading


# ---- each check can fail ------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path) -> tuple[dict, dict]:
    """A right data file for a book of two pages, and the other arguments of `problems`."""
    cells = [
        {"cell_type": "markdown", "source": ["# Pooling\n", "\n", "text"]},
        {"cell_type": "code", "source": ["# A comment is no heading\n"]},
        {"cell_type": "markdown", "source": ["## Shift by `one` pixel\n", "```python\n", "# nor is this\n", "```"]},
        {"cell_type": "markdown", "source": ["## Again\n"]},
        {"cell_type": "markdown", "source": ["## Again\n"]},
        {"cell_type": "markdown", "source": ["### Half a step\n", "#### Too deep\n"]},
    ]
    (tmp_path / "foundations").mkdir()
    (tmp_path / "foundations" / "pooling.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    (tmp_path / "foundations" / "stray.md").write_text("# Stray\n", encoding="utf-8")
    entries = [
        {"item": 1, "topic": "Shift", "sections": ["foundations/pooling#Shift by `one` pixel"]},
        {"item": 2, "topic": "Colour", "planned": "foundations/images"},
    ]
    data = {"pages": {"foundations/images": "Images"}, "groups": [{"group": "Pooling", "entries": entries}]}
    return data, {"book": tmp_path, "toc": ["book/foundations/pooling"]}


def test_headings_are_those_a_link_can_reach(small):
    path = small[1]["book"] / "foundations" / "pooling.ipynb"
    assert topics.headings(path) == ["Pooling", "Shift by `one` pixel", "Again", "Again", "Half a step"]


def test_the_small_book_is_right_and_rendered(small):
    data, arguments = small
    assert topics.problems(data, **arguments) == []
    text = topics.render(data, arguments["book"])
    assert "- Shift → [Pooling › Shift by `one` pixel](../foundations/pooling.ipynb#shift-by-one-pixel)" in text
    assert "Of 2 topics, **1 are written** and 1 are planned" in text
    assert "- Colour → *planned, Images*" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sections": ["foundations/pooling#Shift by two"]}, ["'Shift'", "pooling' has no heading", "Half a step"]),
        ({"sections": ["foundations/pooling#Again"]}, ["more than one heading 'Again'"]),
        ({"sections": ["foundations/pooling#Too deep"]}, ["no heading 'Too deep'"]),
        ({"sections": ["foundations/pooling"]}, ["no heading ''", "Shift by `one` pixel"]),
        ({"sections": ["foundations/poling#Pooling"]}, ["no page 'foundations/poling'"]),
        ({"sections": ["foundations/stray#Stray"]}, ["'foundations/stray' is not in _toc.yml"]),
        ({"sections": "foundations/pooling#Pooling"}, ["needs a list"]),
        ({"sections": ["foundations/pooling#Pooling"] * 2}, ["different sections"]),
        ({"sections": []}, ["neither sections nor planned"]),
        ({"planned": "foundations/images"}, ["both sections and planned"]),
        ({"sections": None, "planned": "foundations/imges"}, ["'foundations/imges', which is not among `pages`"]),
        ({"section": ["x"]}, ["has section; an entry has"]),
        ({"topic": "colour"}, ["The topic 'colour' stands 2 times"]),
        ({"item": None}, ["needs a topic in words and an item number"]),
    ],
)
def test_a_wrong_entry_is_named(small, change, said):
    data, arguments = small
    data["groups"][0]["entries"][0].update(change)
    wrong = "\n".join(topics.problems(data, **arguments))
    for part in said:
        assert part in wrong


def test_a_page_that_was_planned_and_now_exists_is_reported(small):
    data, arguments = small
    (arguments["book"] / "foundations" / "images.md").write_text("# Images\n", encoding="utf-8")
    (wrong,) = topics.problems(data, **arguments)
    assert wrong == "The page 'foundations/images' exists and is still listed as planned; map its entries: Colour."


def test_a_planned_page_without_entries_is_reported(small):
    data, arguments = small
    data["pages"]["foundations/channels"] = "Channels"
    (wrong,) = topics.problems(data, **arguments)
    assert wrong.startswith("The planned page 'foundations/channels' has no entry")


def test_two_groups_of_one_name_are_reported(small):
    data, arguments = small
    data["groups"].append({"group": "Pooling", "entries": []})
    assert "The group 'Pooling' stands 2 times" in topics.problems(data, **arguments)[0]


def test_a_left_out_subject_is_named(data):
    less = copy.deepcopy(data)
    for group in less["groups"]:
        if group["group"] == "Receptive field":
            group["entries"] = [entry for entry in group["entries"] if entry["item"] != 3]
    assert missing(less) == ["Receptive field, item 3"]


def test_the_tool_checks_and_writes(small, tmp_path, monkeypatch, capsys):
    data, arguments = small
    page = tmp_path / "topics.md"
    monkeypatch.setattr(topics, "PAGE", page)
    monkeypatch.setattr(topics, "load", lambda: data)
    monkeypatch.setattr(topics, "problems", lambda _: [])
    monkeypatch.setattr(topics, "render", lambda _: "the page\n")
    monkeypatch.setattr("sys.argv", ["topics", "--check"])
    assert topics.main() == 1
    assert "out of date; run `python -m tools.topics`" in capsys.readouterr().err
    assert not page.exists()
    monkeypatch.setattr("sys.argv", ["topics"])
    assert topics.main() == 0
    monkeypatch.setattr("sys.argv", ["topics", "--check"])
    assert topics.main() == 0
    page.write_text("another page\n", encoding="utf-8")
    assert topics.main() == 1
    monkeypatch.setattr(topics, "problems", lambda _: ["The reason."])
    assert topics.main() == 1
    assert "The reason." in capsys.readouterr().err
