"""The rules of the code base that can be read off it: layers, extras, abstract-or-final, silence at import, docstrings."""

import ast
import inspect
import json
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import equinox as eqx
import processes
import pytest

import nmmjax

ROOT = Path(nmmjax.__file__).parent
LAYERS = [  # folders, and files of nmmjax/ itself: each imports from lower layers and from itself
    {
        "_blas",
        "_types",
        "_checks",
        "_files",
        "_identity",
        "_memory",
        "_nan",
        "_optional",
        "_parameter",
        "_progress",
        "_results",
    },
    {"numerics", "recordings"},
    {"models"},
    {"_labelled", "mechanics"},
    {"equilibria"},
    {"monitors"},
    {"solvers"},
    {"bursting", "ensemble", "landscape", "transitions"},
    {"branches", "finite_size", "stochastic"},
    {"fitting", "ising", "sweeps"},
    {"explorer", "plot"},
    {"reproduce"},
    {"cli"},
    {"__main__", "coordinates", "extend", "results"},
]
EDGE = {"_progress", "sweeps", "plot", "reproduce", "cli", "__main__"}  # where packages of the extras are imported
EXTRAS = {
    "xarray",
    "h5netcdf",
    "zarr",
    "dask",
    "distributed",
    "matplotlib",
    "rich",
    "tqdm",
    "cyclopts",
    "typer",
    "pandas",
    "blackjax",
    "arviz",
}
FILES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]
files = pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])


def room(path):
    """The folder of a file; of a file in nmmjax/ itself, its name."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def layer(path):
    found = [k for k, rooms in enumerate(LAYERS) if room(path) in rooms]
    assert len(found) == 1, f"{room(path)} has no layer yet: give it one in this file"
    return found[0]


def imports(path):
    """(module or file, whether at module level) for every import; files of this package as paths."""
    tree = ast.parse(path.read_text(encoding="utf8"))
    inside = {
        id(node)
        for f in ast.walk(tree)
        if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(f)
        if node is not f
    }
    for branch in ast.walk(tree):  # what type checkers alone read is imported nowhere
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING":
            inside |= {id(node) for each in branch.body for node in ast.walk(each)}
    for node in ast.walk(tree):
        top = id(node) not in inside
        if isinstance(node, ast.Import):
            yield from ((alias.name, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module, top
        elif isinstance(node, ast.ImportFrom):
            package = path.parents[node.level - 1]
            base = package.joinpath(*(node.module or "").split("."))
            for alias in node.names:
                target = base / alias.name
                found = next((p for p in (target.with_suffix(".py"), target / "__init__.py") if p.exists()), None)
                module = base.with_suffix(".py") if base.with_suffix(".py").exists() else base / "__init__.py"
                yield found or module, top


def own(module):
    """The file of this package that an import names, or None."""
    if isinstance(module, Path):
        return module
    if module.split(".")[0] != "nmmjax":
        return None
    parts = ROOT.parent.joinpath(*module.split("."))
    return parts.with_suffix(".py") if parts.with_suffix(".py").exists() else parts / "__init__.py"


@files
def test_a_file_imports_from_its_folder_or_from_layers_below(path):
    """No import points up or to a neighbour in the layer, those inside functions neither."""
    for module, _ in imports(path):
        target = own(module)
        if target is None or target == ROOT / "__init__.py":
            assert target is None or room(path) in EDGE, f"{path} imports the whole package"
            continue
        below = layer(target) < layer(path) or layer(target) == layer(path) == 0
        assert below or room(target) == room(path), f"{path} imports {target}"


def test_no_file_imports_itself_by_way_of_others():
    """No circles, with the imports inside functions counted."""
    below = {path: {own(module) for module, _ in imports(path)} & set(FILES) for path in FILES}
    while free := [path for path, targets in below.items() if not targets]:
        below = {path: targets - set(free) for path, targets in below.items() if targets}
    assert not below, f"in circles, or above one: {sorted(str(path.relative_to(ROOT)) for path in below)}"


@files
def test_extras_stay_at_the_edge(path):
    """Optional packages are imported at the edge, and there inside functions only."""
    for module, top in imports(path):
        if isinstance(module, str) and module.split(".")[0] in EXTRAS:
            assert room(path) in EDGE, f"{path} imports {module}"
            assert not top or path.is_relative_to(ROOT / "cli"), f"{path} imports {module} at module level"


MODULES = [import_module(f"nmmjax.{path.relative_to(ROOT).with_suffix('').as_posix().replace('/', '.')}"
                         .removesuffix(".__init__")) for path in FILES if room(path) not in EDGE]  # fmt: skip


def classes():
    return {
        value
        for module in MODULES
        for value in vars(module).values()
        if inspect.isclass(value) and value.__module__ == module.__name__
    }


def test_classes_are_abstract_or_final():
    """No concrete module is subclassed; those with abstract methods, and they alone, are called Abstract…"""
    modules = {cls for cls in classes() if issubclass(cls, eqx.Module)}
    assert len(modules) > 15
    for cls in modules:
        assert cls.__name__.lstrip("_").startswith("Abstract") == is_abstract(cls), cls
        parents = [parent for parent in cls.__mro__[1:] if parent in modules]
        assert all(is_abstract(parent) for parent in parents), cls


def is_abstract(cls):
    """Whether methods or fields are left to subclasses."""
    return inspect.isabstract(cls) or bool(getattr(cls, "__abstractvars__", ()))


def test_models_name_their_equations_and_source():
    concrete = {
        cls for cls in classes() if issubclass(cls, nmmjax.models.base.AbstractModel) and not inspect.isabstract(cls)
    }
    assert concrete >= {nmmjax.MPR, nmmjax.mechanics.RescaledTime}
    assert all(cls.equations and cls.source for cls in concrete)


def test_import_is_silent_light_and_changes_nothing():
    """Importing prints nothing, sets no JAX option or environment variable and loads no extra."""
    script = """
import json, os, sys, jax
options, variables = dict(jax.config.values), dict(os.environ)
import nmmjax
changed = [k for k, v in jax.config.values.items() if options.get(k, v) != v]
changed += [k for k in os.environ if variables.get(k) != os.environ[k]]
print(json.dumps([changed, sorted({name.split(".")[0] for name in sys.modules})]))
"""
    done = processes.python("-W", "error", "-c", script, cwd=ROOT.parent)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" and done.stdout.count("\n") == 1
    changed, loaded = json.loads(done.stdout)
    assert changed == []
    assert not EXTRAS & set(loaded)


@pytest.mark.parametrize("path", [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in FILES])
def test_no_function_or_class_bears_the_name_of_its_module(path):
    """Otherwise one hides the other as soon as a package re-exports it."""
    tree = ast.parse(path.read_text(encoding="utf8"))
    assert path.stem not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_no_public_file_lies_loose():
    """Functions have a folder; beside the folders lie helpers, what Python looks for, and namespaces that only re-export."""
    for path in ROOT.glob("*.py"):
        if not path.name.startswith("_"):
            body = ast.parse(path.read_text(encoding="utf8")).body[1:]
            assert all(isinstance(each, ast.ImportFrom) for each in body), path


def test_tests_lie_in_the_folders_of_what_they_test():
    tests = Path(__file__).parent
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert {path.parent.name for path in tests.glob("*/test_*.py")} <= folders


HOMES = {  # what is written once, and where
    r"leggauss|hermegauss|hermgauss": "numerics/quadrature.py",
    r"def (halve|bisect)\b": "numerics/roots.py",
    r"classical Runge": "numerics/loops.py",
    r"LeVerrier": "numerics/linear.py",
}


@pytest.mark.parametrize("pattern", HOMES)
def test_every_numerical_method_has_one_home(pattern):
    found = {path.relative_to(ROOT).as_posix() for path in FILES if re.search(pattern, path.read_text(encoding="utf8"))}
    assert found == {HOMES[pattern]}


def test_exports_hide_no_module():
    names = {module.name for module in pkgutil.iter_modules([str(ROOT)])}
    for name in names & set(vars(nmmjax)):
        assert inspect.ismodule(getattr(nmmjax, name)), name


def test_everything_exported_is_documented():
    for name, value in vars(nmmjax).items():
        if not name.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value)):
            assert value.__doc__ and not value.__doc__.startswith(f"{name}("), name  # not the one a dataclass makes up
            assert value.__module__.startswith("nmmjax"), name
