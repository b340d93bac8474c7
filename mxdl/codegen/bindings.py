"""The classes through which apps on phones call an exported model: Java with its native methods, and Swift."""
from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from string import Template

from .frame import CFile, Row


def class_name(name: str) -> str:
    """The name of a class: `my_net` is MyNet."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def jni_source(made: CFile) -> str:
    """C that includes the model's file for its interface and holds the native methods of `java_class`."""
    return _fill("jni.c.in", made)


def java_class(made: CFile) -> str:
    """Java's class mxdl.NAME."""
    return _fill("class.java.in", made)


def swift_class(made: CFile) -> str:
    """Swift's class NAME over the C module NAMEC."""
    return _fill("class.swift.in", made)


def _fill(template: str, made: CFile) -> str:
    name = made.options.name
    rows = {"input": made.inputs, "output": made.outputs}
    values: dict[str, str] = {"p": name, "P": name.upper(), "Class": class_name(name), "version": made.version,
                              "dtypes": ", ".join(sorted({r.type.dtype for r in (*made.inputs, *made.outputs)}))}
    for side, found in rows.items():
        values[f"{side}_names"] = ", ".join(_quoted(row.name) for row in found)
        values[f"{side}_bytes"] = ", ".join(str(row.type.num_bytes) for row in found)
        values[f"{side}_shapes"] = _shapes(found, "{}")
        values[f"{side}_shapes_swift"] = _shapes(found, "[]")
    return Template(resources.files(__package__).joinpath(template).read_text()).substitute(values)


def _quoted(name: str) -> str:
    """A literal that Java and Swift read alike; what only one of them escapes is left out."""
    return json.dumps("".join(c if " " <= c <= "~" else "_" for c in name))


def _shapes(rows: Sequence[Row], braces: str) -> str:
    return ", ".join(f"{braces[0]}{', '.join(map(str, row.type.shape))}{braces[1]}" for row in rows)
