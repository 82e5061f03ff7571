"""Pages as tests read them: their tags, their text, and where their links lead."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """Every tag with its attributes, and the text outside of <style> with its white space as one space each."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._said: list[str] = []
        self._style = False
        self.feed(text)

    @classmethod
    def of(cls, path: Path) -> Page:
        """A file's."""
        return cls(path.read_text("utf-8"))

    @property
    def text(self) -> str:
        """What is to be read."""
        return " ".join(" ".join(self._said).split())

    @property
    def links(self) -> list[str]:
        """Every href."""
        return [attributes["href"] or "" for _, attributes in self.tags if "href" in attributes]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each such tag."""
        return [attributes for name, attributes in self.tags if name == tag]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._style = False

    def handle_data(self, data: str) -> None:
        if not self._style:
            self._said.append(data)


def broken(folder: Path) -> list[str]:
    """Links of any page in a folder that lead nowhere, or out of it."""
    found = []
    for path in sorted(folder.rglob("*.html")):
        page = Page.of(path)
        names = {attributes.get("id") for _, attributes in page.tags}
        for link in page.links:
            parts = urlsplit(link)
            if link == "data:,":
                continue
            if parts.scheme or parts.netloc:
                found.append(f"{path.name}: {link}")
            elif not parts.path:
                found += [] if parts.fragment in names else [f"{path.name}: {link}"]
            else:
                target = (path.parent / unquote(parts.path)).resolve()
                if not (target.is_file() and target.is_relative_to(folder.resolve())):
                    found.append(f"{path.name}: {link}")
    return found


def faults(page: Page) -> list[str]:
    """What keeps a page from being read by keyboard or screen reader, or would run or load something."""
    tags = page.tags
    levels = [int(tag[1]) for tag, _ in tags if re.fullmatch(r"h[1-6]", tag)]
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    checks = {
        "one h1": levels[:1] == [1] and levels.count(1) == 1,
        "headings in order": all(after <= before + 1 for before, after in pairwise(levels)),
        "scoped headers": all(a.get("scope") in ("row", "col") for a in page.all("th")),
        "named pictures": all(a.get("role") == "img" and a.get("aria-label") for a in page.all("svg")),
        "ids that are one each": len(ids) == len(set(ids)),
        "labelled parts": all(a.get("aria-labelledby") in ids for a in page.all("section")),
        "landmarks": all(len(page.all(tag)) == 1 for tag in ("main", "nav", "header", "footer")),
        "skip link": page.all("a")[0].get("href") == "#main",
        "language": page.all("html")[0].get("lang") == "en",
        "viewport": any(a.get("name") == "viewport" for a in page.all("meta")),
        "scrolling boxes reached by keyboard": all(
            a.get("tabindex") == "0" and a.get("aria-label")
            for _, a in tags
            if "scroll" in (a.get("class") or "").split()
        ),
        "no script": not any(page.all(tag) for tag in ("script", "img", "iframe", "object", "embed", "base", "form")),
        "no handler": not any(name.startswith("on") for _, a in tags for name in a),
        "policy": "default-src 'none'" in str([a.get("content") for a in page.all("meta")]),
    }
    return [name for name, holds in checks.items() if not holds]
