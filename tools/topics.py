"""Write the topic index: ``python -m tools.topics``; ``--check`` only says whether it is up to date.

``book/reference/topics.yml`` lists every subject of the book and the section that treats it, or, until
it is written, the page that will. This tool writes ``book/reference/topics.md`` from it, with a link to
each section.

How to add an entry
-------------------
Under ``groups``, in the group where a reader would look, add one line; `item` is the number of the
subject within the group (a new subject takes the next one, a part of an old subject shares its number)::

    - {item: 8, topic: "Blur pooling", sections: ["foundations/pooling#Shift by one pixel"]}

A section is ``page#heading``: the page relative to ``book/`` without suffix, the heading (levels 1 to 3)
as it stands in the page, formatting included. Name a section only if it treats the subject. A subject
that is not yet written has ``planned: foundations/channels`` instead, and that page stands under
``pages``; when the page exists, map its entries and take its line out. Then run the tool.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path

import yaml

from tools import notebooks

DATA = notebooks.BOOK / "reference" / "topics.yml"
PAGE = notebooks.BOOK / "reference" / "topics.md"
HOME = "reference"  # the folder of the page that is written, from which its links start


def main() -> int:
    """Write the page, or compare it; return 1 when the data or the page is wrong, with the reason."""
    parser = argparse.ArgumentParser(description="Write book/reference/topics.md from topics.yml.")
    parser.add_argument("--check", action="store_true", help="write nothing, say whether the page is up to date")
    arguments = parser.parse_args()
    data = load()
    if wrong := problems(data):
        print("\n".join(wrong), file=sys.stderr)
        return 1
    text = render(data)
    same = PAGE.exists() and PAGE.read_text(encoding="utf-8") == text
    if arguments.check and not same:
        print("The topic index is out of date; run `python -m tools.topics` to write it again.", file=sys.stderr)
        return 1
    if not same:
        PAGE.write_text(text, encoding="utf-8")
    return 0


def load(path: Path = DATA) -> dict:
    """Read the data file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def entries(data: dict) -> list[tuple[str, dict]]:
    """Return all entries in order, each with the name of its group."""
    return [(group["group"], entry) for group in data["groups"] for entry in group["entries"]]


def find_page(page: str, book: Path = notebooks.BOOK) -> Path | None:
    """Return the file of a page named relative to ``book/`` without suffix, or None when there is none."""
    candidates = [book / f"{page}{suffix}" for suffix in (".ipynb", ".md")]
    return next((path for path in candidates if path.is_file()), None)


def headings(path: Path) -> list[str]:
    """Return the headings of levels 1 to 3 of a notebook or a Markdown page, as they stand in it."""
    text = path.read_text(encoding="utf-8")
    sources = [text]
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    found = []
    for source in sources:
        fence = ""
        for line in source.splitlines():
            if mark := re.match(r"\s*(`{3,}|~{3,}|:{3,})", line):
                # A fence is closed by its own kind, at least as long, and nothing behind it.
                if not fence:
                    fence = mark[1]
                elif mark[1].startswith(fence) and line.strip() == mark[1]:
                    fence = ""
            elif not fence and (heading := re.match(r" {0,3}#{1,3}[ \t]+(.+?)[ \t]*#*$", line)):
                found.append(heading[1])
    return found


def slug(heading: str) -> str:
    """Return the name by which MyST links to a heading: its text without formatting, as on GitHub."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)  # a link counts by its text
    text = re.sub(r"\$[^$]*\$", "", text)  # MyST leaves maths out
    text = re.sub(r"(?<!\\)[`*]|(?<!\w)_|_(?!\w)", "", text)
    return re.sub(r"[^\w\- ]", "", text.strip().lower().replace(" ", "-"))


def problems(data: dict, book: Path = notebooks.BOOK, toc: list[str] | None = None) -> list[str]:
    """Return what is wrong with the data, one sentence each: entries, pages, headings, plans overtaken.

    Parameters
    ----------
    data : dict
        The data file, as `load` returns it.
    book : Path
        The folder of the pages.
    toc : list of str, optional
        The pages of the table of contents, such as ``book/foundations/pooling``; by default those of ``_toc.yml``.
    """
    toc = notebooks.pages() if toc is None else toc
    wrong: list[str] = []
    planned: dict[str, list[str]] = {page: [] for page in data.get("pages") or {}}
    for name, entry in entries(data):
        where = f"Entry {entry.get('topic')!r} of group {name!r}"
        if not (isinstance(entry.get("topic"), str) and isinstance(entry.get("item"), int)):
            wrong.append(f"{where} needs a topic in words and an item number; it is {entry}.")
        if unknown := sorted(set(entry) - {"item", "topic", "sections", "planned"}):
            wrong.append(f"{where} has {', '.join(unknown)}; an entry has item, topic and sections or planned.")
        if bool(entry.get("sections")) == bool(entry.get("planned")):
            both = "both sections and planned" if entry.get("sections") else "neither sections nor planned"
            wrong.append(f"{where} has {both}; give it one of the two.")
        if page := entry.get("planned"):
            if page in planned:
                planned[page].append(entry["topic"])
            else:
                wrong.append(f"{where} is planned for {page!r}, which is not among `pages` at the top of topics.yml.")
        sections = entry.get("sections") or []
        if isinstance(sections, str) or len(set(sections)) < len(sections):
            wrong.append(f"{where} needs a list of different sections; it has {sections!r}.")
            continue
        for section in sections:
            wrong += [f"{where}: {reason}" for reason in _problems_of(section, book, toc)]
    for page, topics in planned.items():
        if find_page(page, book):
            names = "; ".join(topics) or "none, so its line can go"
            wrong.append(f"The page {page!r} exists and is still listed as planned; map its entries: {names}.")
        elif not topics:
            wrong.append(f"The planned page {page!r} has no entry; take its line out of `pages`.")
    groups = [group["group"] for group in data["groups"]]
    topics = [entry["topic"].casefold() for _, entry in entries(data) if isinstance(entry.get("topic"), str)]
    for kind, names in (("group", groups), ("topic", topics)):
        wrong += [f"The {kind} {name!r} stands {n} times in topics.yml." for name, n in Counter(names).items() if n > 1]
    return wrong


def _problems_of(section: str, book: Path, toc: list[str]) -> list[str]:
    """Return what is wrong with one ``page#heading``."""
    page, _, heading = section.partition("#")
    path = find_page(page, book)
    if path is None:
        return [f"there is no page {page!r} in book/ (section {section!r})."]
    if f"book/{page}" not in toc:
        return [f"the page {page!r} is not in _toc.yml, so nothing can link to it."]
    there = headings(path)
    if there.count(heading) != 1:
        listed = "\n    ".join(there)
        fault = "no heading" if heading not in there else "more than one heading"
        return [f"the page {page!r} has {fault} {heading!r}; its headings are\n    {listed}"]
    if [slug(other) for other in there].count(slug(heading)) != 1:
        return [f"the heading {heading!r} of {page!r} has the same link name, {slug(heading)!r}, as another one."]
    return []


def render(data: dict, book: Path = notebooks.BOOK) -> str:
    """Return the text of the page; `problems` must have found nothing."""
    everything = [entry for _, entry in entries(data)]
    written = sum(bool(entry.get("sections")) for entry in everything)
    rest = len(everything) - written
    lines = [
        "<!-- Written by `python -m tools.topics` from topics.yml; change that file, not this one. -->",
        "",
        "# Topic index",
        "",
        "What do you want to know? Find it below and follow the link to the section that explains it; the search",
        f"finds single words. Of {len(everything)} topics, **{written} are written**"
        + (f" and {rest} are planned:" if rest else "."),
        *(["those name the page that will treat them, in italics, until it is there."] if rest else []),
    ]
    for group in data["groups"]:
        lines += ["", f"## {group['group']}", ""]
        for entry in group["entries"]:
            if entry.get("sections"):
                where = "; ".join(_link(section, book) for section in entry["sections"])
            else:
                where = f"*planned, {data['pages'][entry['planned']]}*"
            lines.append(f"- {entry['topic']} → {where}")
    return "\n".join(lines) + "\n"


def _link(section: str, book: Path) -> str:
    """Return the Markdown link to one ``page#heading``, shown as page title › heading."""
    page, _, heading = section.partition("#")
    path = find_page(page, book)
    title = headings(path)[0]
    target = f"{page}{path.suffix}#{slug(heading)}"
    target = target.removeprefix(f"{HOME}/") if page.startswith(f"{HOME}/") else f"../{target}"
    text = title if heading == title else f"{title} › {heading}"
    # A link inside the text of a link would end it.
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return f"[{text}]({target})"


if __name__ == "__main__":
    sys.exit(main())
