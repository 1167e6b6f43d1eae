"""The reference pages: the common mistakes are all there, the glossary has every term, and all links lead somewhere.

A chapter introduces a term by setting it in bold. The front matter of ``glossary.md`` says which chapters
it covers (``chapters``), which bold words are forms of a term (``forms``) and which are none (``no_terms``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tools import notebooks, topics

BOOK = notebooks.BOOK
FOLDER = BOOK / "reference"
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
BOLD = re.compile(r"(?<!\*)\*\*(?=\S)(.+?)(?<=\S)\*\*(?!\*)", re.S)
LIST_LEAD = re.compile(r"^[ >]*(?:[-*+]|\d+\.) +\*\*.+?\*\*", re.M | re.S)
MISTAKES = 29


def same(term: str) -> str:
    """Return a term in the form in which terms are compared."""
    return " ".join(term.replace("`", "").split()).casefold()


@dataclass
class Section:
    """A heading of level 1 to 3 and the text below it, to the next one."""

    page: str
    heading: str
    text: str = ""

    @property
    def place(self) -> tuple[str, str]:
        return self.page, topics.slug(self.heading)


def sections(path: Path, book: Path = BOOK) -> list[Section]:
    """Return the sections of a notebook; its first cell, which announces, is left out."""
    page = str(path.relative_to(book).with_suffix(""))
    found: list[Section] = []
    for number, cell in enumerate(notebooks.read(path).cells):
        if cell.cell_type != "markdown":
            continue
        for line in cell.source.splitlines():
            if heading := re.match(r"#{1,3} +(.+?) *$", line):
                found.append(Section(page, heading[1]))
            elif found and number:
                found[-1].text += line + "\n"
        if found:
            found[-1].text += "\n"
    return found


def introduced(path: Path, book: Path = BOOK) -> list[tuple[str, Section]]:
    """Return the words that a chapter sets in bold to introduce them, each with its section.

    Labels do not count: bold text that ends a sentence ("Common mistake.", "1."), that begins a list item, or
    that stands in the chapter's closing sections, which repeat.
    """
    found = []
    for section in sections(path, book):
        if section.heading == "What we learned":
            break
        for match in BOLD.finditer(LIST_LEAD.sub("", section.text)):
            if not re.search(r"[.:?!]$", match[1]):
                found.append((same(match[1]), section))
    return found


@dataclass
class Entry:
    """A term of the glossary."""

    term: str
    letter: str
    text: str = ""
    names: set[str] = field(default_factory=set)
    links: list[tuple[str, str]] = field(default_factory=list)


def read_glossary(text: str) -> tuple[dict, list[Entry]]:
    """Return the front matter and the entries: ``## letter``, ``### term``, a sentence, synonyms, links."""
    _, matter, body = text.split("---\n", 2)
    entries: list[Entry] = []
    letter = ""
    for line in body.splitlines():
        if heading := re.match(r"(##|###) (.+)", line):
            if heading[1] == "##":
                letter = heading[2]
            else:
                entries.append(Entry(heading[2], letter))
        elif entries:
            entries[-1].text += line + "\n"
    for entry in entries:
        also = re.search(r"\*Also: (.+?)\.\*", entry.text, re.S)
        entry.names = {same(entry.term), *map(same, also[1].split(", ") if also else [])}
        entry.links = LINK.findall(entry.text)
    return yaml.safe_load(matter), entries


def broken_links(text: str, folder: Path = FOLDER, book: Path = BOOK) -> list[str]:
    """Return what is wrong with the links of a page to other pages: no page, no heading, a text that is not its name."""
    wrong = []
    for name, target in LINK.findall(text):
        if re.match(r"https?:", target):
            continue
        file, _, slug = target.partition("#")
        path = (folder / file).resolve()
        if not path.is_file() or book.resolve() not in path.parents:
            wrong.append(f"{target}: there is no such page.")
            continue
        there = topics.headings(path)
        if slug and slug not in map(topics.slug, there):
            wrong.append(f"{target}: the page has no such heading; it has {', '.join(map(topics.slug, there))}.")
        elif slug and " › " in name:
            shown = [f"{there[0]} › {heading}" for heading in there if topics.slug(heading) == slug]
            if name not in shown:
                wrong.append(f"{target}: the link reads {name!r}, but the section is called {shown[0]!r}.")
    return wrong


def problems(text: str, book: Path = BOOK) -> list[str]:
    """Return what is wrong with a glossary, one sentence each."""
    matter, entries = read_glossary(text)
    forms = {same(form): same(term) for form, term in (matter.get("forms") or {}).items()}
    no_terms = {same(word) for word in matter.get("no_terms") or []}
    wrong = broken_links(text, book / "reference", book)
    # order and form
    terms = [same(entry.term) for entry in entries]
    if terms != sorted(terms):
        first = next(term for term, other in zip(terms, sorted(terms), strict=True) if term != other)
        wrong.append(f"The terms are not in alphabetical order; look at {first!r}.")
    owner: dict[str, str] = {}
    for entry in entries:
        if entry.letter.casefold() != same(entry.term)[0]:
            wrong.append(f"{entry.term!r} stands under {entry.letter!r}.")
        for name in entry.names:
            if name in owner:
                wrong.append(f"{name!r} is a name of both {owner[name]!r} and {entry.term!r}.")
            owner[name] = entry.term
        if not entry.links:
            wrong.append(f"{entry.term!r} has no link to the section that introduces it.")
        prose = LINK.sub("", re.sub(r"\*Also: .+?\.\*", "", entry.text, flags=re.S)).strip(" ;\n")
        if not 4 <= len(prose.split()) <= 60 or not prose.endswith("."):
            wrong.append(
                f"{entry.term!r} needs a definition of one sentence that ends with a full stop; it is {prose!r}."
            )
    for form, term in forms.items():
        if term not in owner:
            wrong.append(f"{form!r} is said to be a form of {term!r}, which is not in the glossary.")
        if form in owner:
            wrong.append(f"{form!r} is listed under `forms` and is a name of {owner[form]!r} already.")
    # every term that a chapter introduces
    places: dict[str, list[tuple[str, str]]] = {}
    used, text_of = set(), {}
    for chapter in matter["chapters"]:
        path = book / f"{chapter}.ipynb"
        if not path.is_file():
            wrong.append(f"`chapters` lists {chapter!r}, but there is no such notebook.")
            continue
        text_of |= {section.place: same(section.text) for section in sections(path, book)}
        for word, section in introduced(path, book):
            used.add(word)
            name = forms.get(word, word)
            name = name if name in owner else forms.get(name.removesuffix("s"), name.removesuffix("s"))
            if name in owner:
                places.setdefault(owner[name], []).append(section.place)
            elif word not in no_terms:
                wrong.append(
                    f"{chapter} introduces {word!r} in the section {section.heading!r}, and the glossary does not have "
                    f"it; add an entry that links to {Path(chapter).name}.ipynb#{topics.slug(section.heading)}, or name "
                    "the word under `forms` or `no_terms` at the top of glossary.md."
                )
    # links lead to sections that use the term, one of them to where it is introduced
    for entry in entries:
        names = entry.names | {form for form, term in forms.items() if owner.get(term) == entry.term}
        targets = []
        for _, target in entry.links:
            file, _, slug = target.partition("#")
            page = Path(file).with_suffix("").as_posix().removeprefix("../")
            targets.append((page, slug))
            if page not in matter["chapters"]:
                wrong.append(f"{entry.term!r} links to {page!r}, which is not among `chapters`.")
            elif not any(name in text_of.get((page, slug), "") for name in names):
                wrong.append(f"{entry.term!r} links to {page}#{slug}, where no name of it occurs.")
        if (there := places.get(entry.term)) and not set(there) & set(targets):
            listed = "; ".join("#".join(place) for place in there)
            wrong.append(f"{entry.term!r} has no link to where it is introduced: {listed}.")
    for word in sorted((no_terms | set(forms)) - used):
        wrong.append(f"{word!r} stands in the front matter, but no chapter sets it in bold.")
    return wrong


def test_glossary_has_every_term_of_its_chapters():
    text = (FOLDER / "glossary.md").read_text(encoding="utf-8")
    if wrong := problems(text):
        pytest.fail("\n".join(wrong), pytrace=False)


def test_chapters_of_the_glossary_link_back():
    matter, _ = read_glossary((FOLDER / "glossary.md").read_text(encoding="utf-8"))
    without = []
    for chapter in matter["chapters"]:
        closing = next(s for s in sections(BOOK / f"{chapter}.ipynb") if s.heading == "Where to go next")
        if "(../reference/glossary.md" not in closing.text:
            without.append(chapter)
    assert not without, f"no link to ../reference/glossary.md under 'Where to go next' in {', '.join(without)}"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.md")), ids=lambda path: path.stem)
def test_links_of_reference_pages_lead_somewhere(path):
    assert not broken_links(path.read_text(encoding="utf-8"))


def test_start_page_leads_to_every_chapter():
    contents = yaml.safe_load((notebooks.ROOT / "_toc.yml").read_text(encoding="utf-8"))
    parts = [part["chapters"] for part in contents["parts"] if part["caption"] != "Reference"]
    page = (notebooks.ROOT / "book" / "index.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!reference)([\w/]+)\.ipynb\)", page.split("## The way through")[1])
    assert links == [chapter["file"].removeprefix("book/") for chapters in parts for chapter in chapters]


def test_links_of_common_mistakes_lead_somewhere():
    cells = notebooks.read(FOLDER / "common_mistakes.ipynb").cells
    assert not broken_links("\n".join(cell.source for cell in cells if cell.cell_type == "markdown"))


def mistakes(cells: list) -> dict[str, list]:
    """Return the cells of each mistake, a section of level 3, by its heading; the check lies in its code."""
    found: dict[str, list] = {}
    heading = None
    for cell in cells:
        # a Markdown cell may end one section and begin the next
        parts = re.split(r"(?m)^(?=### )", cell.source) if cell.cell_type == "markdown" else [cell]
        for part in parts:
            if isinstance(part, str) and part.startswith("### "):
                heading = part.splitlines()[0]
                found[heading] = []
            if heading:
                found[heading].append(part)
    return found


def faults_of_mistakes(cells: list) -> list[str]:
    """Return what is wrong with the page of common mistakes: its number, and the parts of each."""
    found = mistakes(cells)
    wrong = []
    numbers = [re.match(r"### (\d+)\. ", heading) for heading in found]
    if [number and int(number[1]) for number in numbers] != list(range(1, MISTAKES + 1)):
        wrong.append(f"there are {len(found)} mistakes, but {MISTAKES}, numbered from 1, are asked for")
    for heading, parts in found.items():
        text = "\n".join(part for part in parts if isinstance(part, str))
        printed = "".join(o.get("text", "") for part in parts if not isinstance(part, str) for o in part.outputs)
        for label in ("**Often written:**", "**Right:**"):
            if label not in text:
                wrong.append(f"{heading} lacks {label}")
        if "✓" not in printed:
            wrong.append(f"{heading} has no claim that was checked")
        where = re.search(r"Read on: (.+?)\.\n", text + "\n", re.S)
        if not where and heading != list(found)[-1]:
            wrong.append(f"{heading} does not say where to read on")
    return wrong


def test_common_mistakes_are_complete():
    assert not faults_of_mistakes(notebooks.read(FOLDER / "common_mistakes.ipynb").cells)


# ---- each check can fail ------------------------------------------------------------------------------------------

CHAPTER = (
    "# Pooling\n\n**You will be able to**\n\n- **compute** it",
    "## Of blocks\n\n**Max\npooling** keeps the largest. It is **not** linear.\n\n> **Common mistake.** The **stride** is 1.\n\n"
    "- **Size** is a list lead",
    "## Of `maps`\n\nThe mean, and **padded** borders.",
    "## What we learned\n\n**Everything** again",
    "## Where to go next\n\n[glossary](../reference/glossary.md)",
)
GLOSSARY = """---
chapters: [foundations/pooling]
forms: {padded: padding}
no_terms: ["not"]
---

# Glossary

## M

### Max pooling

The largest of each window. *Also: maximum pooling.*

[Pooling › Of blocks](../foundations/pooling.ipynb#of-blocks)

## P

### Padding

Rows that are added around it.

[Pooling › Of `maps`](../foundations/pooling.ipynb#of-maps)

## S

### Stride

The step of the window.

[Pooling › Of blocks](../foundations/pooling.ipynb#of-blocks)
"""


@pytest.fixture
def small(tmp_path) -> Path:
    """A book of one chapter, which introduces three terms."""
    import nbformat

    cells = [nbformat.v4.new_markdown_cell(source) for source in CHAPTER]
    notebooks.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "foundations" / "pooling.ipynb")
    (tmp_path / "reference").mkdir()
    return tmp_path


def test_the_small_glossary_is_right(small):
    found = introduced(small / "foundations" / "pooling.ipynb", small)
    assert [word for word, _ in found] == ["max pooling", "not", "stride", "padded"]
    assert problems(GLOSSARY, small) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("### Stride", "### Step", "introduces 'stride' in the section 'Of blocks', and the glossary does not have it"),
        ("### Stride", "### Padding", "'padding' is a name of both"),
        ("### Max pooling", "### Stride", "not in alphabetical order"),
        ("## S\n", "## T\n", "'Stride' stands under 'T'"),
        ("*Also: maximum pooling.*", "*Also: stride.*", "'stride' is a name of both"),
        ("The step of the window.", "A step.", "'Stride' needs a definition"),
        ("#of-maps", "#of-map", "no such heading"),
        ("Of `maps`]", "Of maps]", "the section is called 'Pooling › Of `maps`'"),
        ("../foundations/pooling.ipynb#of-maps", "../foundations/poling.ipynb#of-maps", "no such page"),
        ("[Pooling › Of `maps`](../foundations/pooling.ipynb#of-maps)", "", "'Padding' has no link"),
        ("#of-maps", "#of-blocks", "'Padding' has no link to where it is introduced: foundations/pooling#of-maps"),
        ("{padded: padding}", "{}", "introduces 'padded'"),
        ("{padded: padding}", "{padded: frame}", "'padded' is said to be a form of 'frame'"),
        ("{padded: padding}", "{padded: padding, stride: padding}", "is a name of 'Stride' already"),
        ('["not"]', "[]", "introduces 'not'"),
        ('["not"]', '["not", never]', "'never' stands in the front matter, but no chapter"),
        ("[foundations/pooling]", "[foundations/pooling, foundations/x]", "no such notebook"),
    ],
)
def test_a_wrong_glossary_is_named(small, old, new, said):
    assert old in GLOSSARY
    assert any(said in fault for fault in problems(GLOSSARY.replace(old, new), small)), problems(
        GLOSSARY.replace(old, new), small
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("### 7. ", "### 8. ", "numbered from 1"),
        ("### 7. ", "#### 7. ", f"there are {MISTAKES - 1} mistakes"),
        ("**Often written:** `torch.arange", "`torch.arange", "lacks **Often written:**"),
        ("**Right:** on a ramp", "On a ramp", "lacks **Right:**"),
        ("Read on: [Convolution](../foundations/convolution.ipynb#does-it-find-edges)", "", "where to read on"),
        ("✓ the ramp gives", "the ramp gives", "has no claim"),
    ],
)
def test_a_mistake_that_is_not_whole_is_named(old, new, said):
    cells = notebooks.read(FOLDER / "common_mistakes.ipynb").cells
    for cell in cells:
        cell.source = cell.source.replace(old, new)
        for output in cell.get("outputs", []):
            output["text"] = output.get("text", "").replace(old, new)
    assert any(said in fault for fault in faults_of_mistakes(cells)), faults_of_mistakes(cells)
