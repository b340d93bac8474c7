"""Imports only go down: the layers of mxdl as a table, held for every import statement in the tree."""
import ast

from tests.architecture import source_tree
from tests.architecture.source_tree import Module, imports, modules

# Lowest first. A module may import its own layer and those below. A name covers the module and all it contains.
LAYERS = (
    ("vocabulary", "errors types device config files version libinfo wiring allocator recorder"),
    ("operators", "ops"),
    ("graph", "graph"),
    ("passes", "passes"),
    ("tensors", "ndarray autograd symbol random context attribute name base operator engine dlpack"),
    ("executor", "executor"),
    ("code generation", "codegen"),
    ("user interface", "gluon optimizer initializer metric lr_scheduler io image recordio callback monitor "
                       "visualization profiler runtime numpy numpy_extension util test_utils model registry log "
                       "rnn onnx rtc library export public_data predictor"),
    ("doors for old code", "compat module contrib"),
    ("running things", "recipes tools cli"),
)
LEVEL = {name: level for level, (_, names) in enumerate(LAYERS) for name in names.split()}
FACADE = "mxdl"  # mxdl/__init__.py: gathers the public names, so it stands on the doors
KVSTORE = "kvstore"  # a package of its own: it imports nothing of mxdl, and the user interface meets it at its protocol


def level_of(module: str) -> int:
    if module == FACADE:
        return LEVEL["compat"]
    head = module.split(".")[1]
    if head == KVSTORE:
        return LEVEL["gluon"]
    assert head in LEVEL, f"mxdl/{head} has no layer: give it one in LAYERS of {__file__.rsplit('/', 1)[-1]}"
    return LEVEL[head]


def is_kvstore(module: str) -> bool:
    return module.split(".")[:2] == ["mxdl", KVSTORE]


def climbs(module: Module) -> list[str]:
    found = []
    for target in imports(module):
        up = level_of(target.target) > level_of(module.name)
        if is_kvstore(module.name):
            up = not is_kvstore(target.target)
        if up:
            found.append(f"{module.where(target.line)}: {module.name} imports {target.target}, which is above it")
    return found


def test_imports_only_go_down():
    tree = modules()
    assert len(tree) >= 4, f"only {len(tree)} modules found: is the tree where source_tree.py expects it?"
    found = [line for module in tree.values() for line in climbs(module)]
    assert not found, "\n".join(["imports that climb a layer:", *found])


def test_every_folder_under_mxdl_has_a_layer():
    for name in modules():
        level_of(name)


def test_a_climb_is_seen(monkeypatch):
    """The rule bites: relative, aliased, in-function and string imports."""
    text = ("from ..gluon import block\n"
            "def late():\n    import kvstore\n    from importlib import import_module\n"
            "    return import_module('mxdl.cli')\n"
            "from mxdl import errors\n")
    known = dict.fromkeys(("mxdl.gluon", "mxdl.gluon.block", "mxdl.kvstore", "mxdl.cli", "mxdl.errors"))
    monkeypatch.setattr(source_tree, "modules", lambda: known)
    module = Module("mxdl.ops.fake", source_tree.ROOT / "mxdl/ops/fake.py", ast.parse(text))
    assert [line.split("imports ")[1].split(",")[0] for line in climbs(module)] == [
        "mxdl.gluon.block", "mxdl.kvstore", "mxdl.cli"]
    inside = Module("mxdl.kvstore.fake", source_tree.ROOT / "kvstore/fake.py", ast.parse("from mxdl import errors\n"))
    assert len(climbs(inside)) == 1
