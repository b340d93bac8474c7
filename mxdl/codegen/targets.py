"""Libraries for other machines: a static library, a shared one or an object, with the header, from one C file."""
from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import OperatorError
from ..files import atomic_write
from . import toolchain
from .bindings import class_name, java_class, jni_source, swift_class
from .frame import CFile


class Target(NamedTuple):
    """triple: as zig writes it.   flags: beside the usual ones.   shared: name of a shared library, {} its stem; ""
    where none can be made here, for the reason `why`.   static, object: likewise.
    """

    triple: str
    flags: tuple[str, ...] = ()
    shared: str = "lib{}.so"
    static: str = "lib{}.a"
    object: str = "{}.o"
    why: str = ""


_ANDROID_LINK = ("-Wl,-z,max-page-size=16384",)   # Android 15 has pages of 16 KiB
_NO_IOS = "iOS takes shared libraries only in signed frameworks, which Xcode makes"

TARGETS = {
    "aarch64-linux": Target("aarch64-linux-gnu"),
    "armv7-linux": Target("arm-linux-gnueabihf", ("-mcpu=cortex_a9",)),
    "riscv64-linux": Target("riscv64-linux-gnu"),
    "x86_64-linux": Target("x86_64-linux-gnu"),
    "android": Target("aarch64-linux-android", _ANDROID_LINK),
    "android-armv7": Target("arm-linux-androideabi", ("-mcpu=cortex_a9", *_ANDROID_LINK)),
    "android-x86_64": Target("x86_64-linux-android", _ANDROID_LINK),
    "ios": Target("aarch64-ios", shared="", why=_NO_IOS),
    "ios-simulator": Target("aarch64-ios-simulator", shared="", why=_NO_IOS),
    "macos": Target("aarch64-macos", shared="lib{}.dylib"),
    "macos-x86_64": Target("x86_64-macos", shared="lib{}.dylib"),
    "windows": Target("x86_64-windows-gnu", shared="{}.dll", static="{}.lib", object="{}.obj"),
    "windows-aarch64": Target("aarch64-windows-gnu", shared="{}.dll", static="{}.lib", object="{}.obj"),
}
FORMS = ("static", "shared", "object")


def find(name: str, form: str) -> Target:
    """Raises OperatorError for a target or form that is not known or cannot be."""
    if name not in TARGETS:
        raise OperatorError(f"export: no such target; got {name!r}; use one of {', '.join(TARGETS)}")
    if form not in FORMS:
        raise OperatorError(f"export: no such form; got {form!r}; use one of {', '.join(FORMS)}")
    if not getattr(TARGETS[name], form):
        raise OperatorError(f"export: {name} has no {form} form; got {form!r}: {TARGETS[name].why}; use static")
    return TARGETS[name]


def build(made: CFile, target: str, folder: str | Path, form: str = "static") -> list[Path]:
    """Compile `made` for `target` into `folder`, named as its functions; returns what was written, the library first.

    The header comes with it, the file of parameters where they are not inside, and for phones the class that apps
    call.  Raises OperatorError, ToolchainError.
    """
    found, folder, name = find(target, form), Path(folder), made.options.name
    sources, extras = {f"{name}.c": made.text}, {f"{name}.h": made.header.encode()}
    if made.options.weights == "beside":
        extras[made.options.weight_file] = made.blob
    if target.startswith("android"):
        sources[f"{name}_jni.c"] = jni_source(made)
        extras[f"{class_name(name)}.java"] = java_class(made).encode()
    if target.startswith(("ios", "macos")):
        extras[f"{class_name(name)}.swift"] = swift_class(made).encode()
        extras["module.modulemap"] = f'module {class_name(name)}C {{ header "{name}.h" export * }}\n'.encode()
    library = getattr(found, form).format(name)
    with tempfile.TemporaryDirectory() as scratch:
        files = {library: _compile(sources, found, form, Path(scratch), library, made), **extras}
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        with atomic_write(folder / file) as stream:
            stream.write(content)
    return [folder / file for file in files]


def _compile(sources: dict[str, str], target: Target, form: str, scratch: Path, library: str, made: CFile) -> bytes:
    """The library's bytes.  Freestanding: no C library's headers are needed, and for some targets none are here."""
    if made.options.weights in ("incbin", "embed"):
        (scratch / made.options.weight_file).write_bytes(made.blob)
    command = [*toolchain.cross(target.triple), "-std=c11", "-ffreestanding", "-fPIC", *target.flags]
    objects = []
    for file, text in sources.items():
        (scratch / file).write_text(text)
        objects.append(target.object.format(Path(file).stem))
        toolchain.run([*command, "-c", file, "-o", objects[-1]], scratch)
    if form == "static":
        toolchain.run([toolchain.zig()[0], "ar", "rcsD", library, *objects], scratch)
    elif form == "shared":
        link = ["-shared", *objects, *_libraries(target, scratch, command), "-s", "-o", library]
        toolchain.run([*command, *link], scratch)
    elif len(objects) > 1:
        toolchain.run([*command, "-nostdlib", "-r", *objects, "-o", f"joined-{library}"], scratch)
        library = f"joined-{library}"
    return (scratch / library).read_bytes()


def _libraries(target: Target, scratch: Path, command: Sequence[str]) -> list[str]:
    """What a shared library is linked with.  Android's C library is not here: an empty one of its name stands in, so
    that the loader is told to find the real one."""
    if "android" not in target.triple:
        return [] if "windows" in target.triple or "macos" in target.triple else ["-lm"]
    (scratch / "empty.c").write_text("typedef int empty;\n")
    for name in ("libm.so", "libc.so"):
        toolchain.run([*command, "-nostdlib", "-shared", f"-Wl,-soname,{name}", "empty.c", "-o", name], scratch)
    return ["-nostdlib", "-Wl,--no-as-needed", "libm.so", "libc.so"]
