#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the reference out of what Doxygen has read: a page for each header with public names, each name with its declaration and its comment.

    reference.py DOXYGEN_XML SOURCE HEADERS

Plain definition lists: Sphinx's own declarations of C++ take no two names in one namespace from two pages without a complaint.
"""
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

KINDS = {"param": "Parameters", "templateparam": "Template parameters", "exception": "Throws", "retval": "Returns"}


def escaped(text):
    return re.sub(r"([\\*`|_])", r"\\\1", text)


def text_of(element):
    return "".join(element.itertext())


def literal(text):
    text = " ".join(text.split())
    return f"``{text}``" if text and "``" not in text else escaped(text)


def inline(element):
    """The words of a paragraph, up to what is a block."""
    parts = [escaped(element.text or "")]
    for child in element:
        if child.tag == "computeroutput":
            words = literal(text_of(child))
            # A literal ends at white space or punctuation alone.
            glued = (parts[-1] and re.search(r"\w$", parts[-1])) and "\\ " or ""
            parts.append(glued + words + ("\\ " if re.match(r"\w", child.tail or "") else ""))
        elif child.tag == "ref":
            parts.append(escaped(text_of(child)))
        elif child.tag in ("emphasis", "bold"):
            parts.append(escaped(text_of(child)))
        elif child.tag == "ulink":
            parts.append(f"`{text_of(child)} <{child.get('url')}>`__")
        elif child.tag == "linebreak":
            parts.append(" ")
        elif child.tag in ("ndash", "mdash"):
            parts.append("–")
        elif child.tag in BLOCKS:
            pass
        else:
            sys.exit(f"reference.py: what is <{child.tag}>?")
        parts.append(escaped(child.tail or ""))
    return " ".join("".join(parts).split())


def code(element, indent):
    lines = text_of(element).strip("\n").split("\n")
    least = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    # Formulas and code look the same to Doxygen; what reads like C++ is shown as such.
    language = "cpp" if re.search(r";|//|#include|\w\(", text_of(element)) and not re.search(r"^\s*\w+ (<-|=|\(.*\) =) [^;]*$", text_of(element), re.M) else "text"
    return f"{indent}.. code-block:: {language}\n\n" + "".join(f"{indent}   {line[least:]}".rstrip() + "\n" for line in lines) + "\n"


def parameters(element, indent):
    out = f"{indent}{KINDS[element.get('kind')]}:\n\n"
    for item in element.findall("parameteritem"):
        names = ", ".join(literal(text_of(name)) for name in item.iter("parametername"))
        words = " ".join(inline(para) for para in item.find("parameterdescription"))
        out += f"{indent}- {names}: {words}\n"
    return out + "\n"


def listing(element, indent):
    out = ""
    for item in element.findall("listitem"):
        out += f"{indent}- " + " ".join(inline(para) for para in item.findall("para")) + "\n"
    return out + "\n"


BLOCKS = {
    "verbatim": code,
    "preformatted": code,
    "programlisting": code,
    "parameterlist": parameters,
    "itemizedlist": listing,
    "orderedlist": listing,
    "simplesect": lambda element, indent: f"{indent}Returns: " + " ".join(inline(para) for para in element.findall("para")) + "\n\n",
}


def description(element, indent):
    out = ""
    for name in ("briefdescription", "detaileddescription"):
        for para in element.find(name) if element.find(name) is not None else []:
            # Words between two blocks of one paragraph keep their place.
            run = ElementTree.Element("para")
            run.text = para.text

            def flush():
                words = inline(run)
                return f"{indent}{words}\n\n" if words else ""

            for child in para:
                if child.tag in BLOCKS:
                    out += flush() + BLOCKS[child.tag](child, indent)
                    run = ElementTree.Element("para")
                    run.text = child.tail
                else:
                    run.append(child)
            out += flush()
    return out


def tidy(text):
    text = " ".join(text.split())
    text = re.sub(r"(\w|>) ([*&]+)(?=\w|$|,|\)|\.)", r"\1\2 ", text).replace("& &", "&&")
    return re.sub(r" +([,)>])", r"\1", text.replace("< ", "<")).strip()


def template_of(member):
    given = member.find("templateparamlist")
    if given is None:
        return ""
    names = []
    for param in given.findall("param"):
        words = tidy(text_of(param.find("type")))
        for tag in ("declname", "defval"):
            if param.find(tag) is not None and text_of(param.find(tag)) not in words:
                words += (" = " if tag == "defval" else " ") + tidy(text_of(param.find(tag)))
        names.append(words)
    return f"template <{', '.join(names)}> "


def declaration(member):
    kind, name = member.get("kind"), text_of(member.find("name"))
    kept = "static " if member.get("static") == "yes" else ""
    words = tidy(text_of(member.find("type"))) if member.find("type") is not None else ""
    if kind == "typedef":
        return f"using {name} = {words}"
    if kind == "enum":
        return f"enum class {name}" if member.get("strong") == "yes" else f"enum {name}"
    if kind == "variable":
        value = member.find("initializer")
        value = " " + tidy(text_of(value)) if value is not None and len(text_of(value)) < 60 else ""
        return f"{kept}{words} {name}{value}"
    arguments = tidy(text_of(member.find("argsstring")).replace("=default", " = default").replace("=delete", " = delete"))
    name = re.sub(r"operator +", "operator", name)
    return template_of(member) + kept + " ".join(filter(None, [words, name])) + arguments


def line_of(element):
    place = element.find("location")
    return int(place.get("line"))


def item(member, indent):
    out = f"{indent}{literal(declaration(member))}\n"
    words = description(member, indent + "   ")
    for value in member.findall("enumvalue"):
        shown = description(value, indent + "      ") or ""
        words += f"{indent}   ``{text_of(value.find('name'))}``\n" + (shown or f"{indent}      ..\n\n")
    return out + (words or f"{indent}   ..\n\n")


class Reference:
    def __init__(self, folder):
        self.compounds = {}
        for path in sorted(folder.glob("*.xml")):
            for compound in ElementTree.parse(path).getroot().iter("compounddef"):
                self.compounds[compound.get("id")] = compound

    def members(self, compound):
        for section in compound.findall("sectiondef"):
            if section.get("kind").startswith("private") or section.get("kind").startswith("protected"):
                continue
            for member in section.findall("memberdef"):
                if member.get("prot", "public") == "public" and member.get("kind") != "friend":
                    yield member

    def of_header(self, header):
        """(line, text) of what the header declares, outside of classes."""
        for compound in self.compounds.values():
            kind = compound.get("kind")
            if kind == "namespace":
                for member in self.members(compound):
                    if member.find("location").get("file") == header:
                        yield line_of(member), self.section(declaration(member), text_of(member.find("qualifiedname") if member.find("qualifiedname") is not None else member.find("name")), member)
            elif kind in ("class", "struct") and compound.find("location").get("file") == header:
                yield line_of(compound), self.of_class(compound)

    def section(self, words, qualified, member):
        title = re.sub(r"operator +", "operator", qualified)
        out = f"{escaped(title)}\n{'-' * (len(escaped(title)) + 2)}\n\n.. code-block:: cpp\n\n   {words}\n\n"
        out += description(member, "")
        values = member.findall("enumvalue")
        for value in values:
            shown = description(value, "   ")
            out += f"``{text_of(value.find('name'))}``\n" + (shown or "   ..\n\n")
        return out

    def of_class(self, compound):
        name = text_of(compound.find("compoundname"))
        title = escaped(name)
        bases = [f"{base.get('prot')} {tidy(text_of(base))}" for base in compound.findall("basecompoundref")]
        words = template_of(compound) + compound.get("kind") + " " + name + (" : " + ", ".join(bases) if bases else "")
        out = f"{title}\n{'-' * (len(title) + 2)}\n\n.. code-block:: cpp\n\n   {words}\n\n" + description(compound, "")
        members = sorted(self.members(compound), key=line_of)
        for member in members:
            out += item(member, "")
        return out


def main():
    folder, source, headers = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    reference = Reference(folder)
    for header in headers.read_text().split():
        page = source / "reference" / (header[len("fuller/"):-len(".hpp")] + ".rst")
        parts = [text for _, text in sorted(reference.of_header(header), key=lambda part: part[0])]
        if not parts:
            sys.exit(f"reference.py: Doxygen has seen nothing public in {header}")
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(f"{header}\n{'=' * len(header)}\n\n.. code-block:: cpp\n\n   #include <{header}>\n\n" + "\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
