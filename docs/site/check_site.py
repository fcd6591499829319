#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the built site as a browser would that runs no scripts.

    check_site.py HTML PUBLIC_SYMBOLS

Every link leads to a page, an anchor or a file that is there; nothing is fetched from elsewhere; no page is empty without scripts, and each can be reached from the first
by links; every public name stands on the page of its header.
"""
import html.parser
import re
import sys
import urllib.parse
from pathlib import Path


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.ids, self.links, self.fetched, self.names, self.words = set(), [], [], set(), 0
        self.silent = 0
        self.titles = 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids.update(value for key, value in attributes if key in ("id", "name") and value)
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in ("img", "script", "iframe", "source") and given.get("src"):
            self.fetched.append(given["src"])
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "shortcut icon", "preload") and given.get("href"):
            self.fetched.append(given["href"])
        if tag in ("script", "style"):
            self.silent += 1
        if tag in ("dt", "h1", "h2"):
            self.titles += 1

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.silent -= 1
        if tag in ("dt", "h1", "h2"):
            self.titles -= 1

    def handle_data(self, text):
        if not self.silent:
            self.words += len(text.split())
        if self.titles:
            self.names.update(re.findall(r"operator[^\w\s(]+|operator\(\)|~?\w+", text))


def main():
    root, symbols = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(root.rglob("*.html"))}
    faults, links = [], 0
    reached, pending = set(), [root / "index.html"]
    while pending:
        path = pending.pop()
        if path in reached or path not in pages:
            continue
        reached.add(path)
        for link in pages[path].links:
            target = urllib.parse.urlsplit(link)
            if not target.scheme and target.path:
                pending.append((path.parent / urllib.parse.unquote(target.path)).resolve())
    for path, page in pages.items():
        name = path.relative_to(root)
        if page.words < 30:
            faults.append(f"{name}: {page.words} words without scripts")
        if path not in reached and name.name not in ("search.html", "genindex.html"):
            faults.append(f"{name}: no link leads there")
        for link in page.links + page.fetched:
            target = urllib.parse.urlsplit(link)
            if target.scheme or target.netloc:
                if link in page.fetched:
                    faults.append(f"{name}: fetches {link}")
                continue
            links += 1
            file = (path.parent / urllib.parse.unquote(target.path)).resolve() if target.path else path
            if not file.is_file():
                faults.append(f"{name}: there is no {link}")
            elif target.fragment and file in pages and urllib.parse.unquote(target.fragment) not in pages[file].ids:
                faults.append(f"{name}: {file.relative_to(root)} has no anchor {target.fragment}")
    names = 0
    listed = set(symbols.read_text().splitlines())
    for line in sorted(listed):
        header, symbol = line.split(" ", 1)
        if not header.endswith(".hpp") or symbol.startswith("FULLER_"):
            continue
        parts = re.match(r"((?:\w+::)*)(.*)$", symbol).groups()
        owner = parts[0][:-2]
        if owner.count("::") > 1 and f"{header} {owner}" not in listed:  # of a class that is private
            continue
        names += 1
        page = pages.get(root / "reference" / (header[len("fuller/"):-len(".hpp")] + ".html"))
        if page is None or parts[1] not in page.names:
            faults.append(f"the reference does not have {symbol} of {header}")
    if faults:
        sys.exit("\n".join(sorted(set(faults))) + f"\ncheck_site: {len(set(faults))} faults")
    print(f"{len(pages)} pages, {links} links that lead somewhere, {names} public names.")


if __name__ == "__main__":
    main()
