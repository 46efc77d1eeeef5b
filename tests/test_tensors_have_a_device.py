"""A lint: tensors of samplers and of training are made on a named device, and come from it before they leave torch.

A tensor that is made without a device is on the CPU, and fails only where a model is on another one.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = [file.relative_to(ROOT) for room in ("samplers", "training") for file in sorted((ROOT / room).rglob("*.py"))]
FACTORIES = frozenset({
    "arange", "as_tensor", "empty", "eye", "full", "linspace", "logspace", "normal", "ones", "rand", "randint", "randn",
    "randperm", "tensor", "zeros",
})  # fmt: skip
COPIES = frozenset({"as_tensor", "tensor"})
"""Those of values of the CPU, which may be moved afterwards."""
ON_CPU: Mapping[str, str] = {
    "samplers/base.py:tensors": "rows are on the CPU; `TrainingBatch.to` moves them",
    "samplers/contrastive.py:ContrastiveSampler._pairs": "`draw_rows` moves the sources",
    "samplers/latent.py:LatentSampler.draw": "given vectors are on the CPU",
    "samplers/latents/source.py:LatentTable.of": "given vectors are on the CPU",
    "samplers/latents/vectors.py:best_latents": "given vectors are on the CPU",
    "samplers/latents/vectors.py:read_vectors": "given vectors are on the CPU",
    "samplers/prior.py:PriorSampler.draw": "latent priors are on the CPU",
    "training/diversity/bonus.py:NoveltyBonus.learn": "its small networks are on the CPU, as the fingerprints are",
    "training/diversity/bonus.py:NoveltyBonus.of": "its small networks are on the CPU, as the fingerprints are",
    "training/fit/loop.py:batch_metrics": "the batch as it was before the learner moved it",
    "training/latents/trainers.py:VectorTrainer.loss": "given vectors are on the CPU",
    "training/pretraining/corpus.py:Corpus.batch": "`CorpusBatch.to` moves them",
    "training/pretraining/pair_corpus.py:PairCorpus.condition": "`CorpusBatch.to` and `draw_rows` move them",
}
"""The functions that exchange tensors with numpy on the CPU, with the reason."""
GENERATORS = "samplers/seeds.py:cpu_generator"
"""The function that makes generators, those of the CPU."""


def problems(tree: ast.AST, file: str) -> Iterator[tuple[str, str]]:
    """The place, as FILE:FUNCTION, and the name of each call that leaves the device open."""
    for node, place in _calls(tree, file, ()):
        called = node.func
        if not isinstance(called, ast.Attribute):
            continue
        of_torch = isinstance(called.value, ast.Name) and called.value.id == "torch"
        device_named = any(keyword.arg == "device" for keyword in node.keywords)
        if (
            of_torch
            and called.attr in FACTORIES
            and not device_named
            and not (called.attr in COPIES and _moved(tree, node))
        ):
            yield place, f"torch.{called.attr}"
        elif of_torch and called.attr == "Generator" and place != GENERATORS:
            yield place, "torch.Generator"
        elif of_torch and called.attr == "from_numpy":
            if not _moved(tree, node) and place not in ON_CPU:
                yield place, "torch.from_numpy"
        elif called.attr == "numpy" and not node.args and not _is_call_of(called.value, "cpu") and place not in ON_CPU:
            yield place, "numpy"
        elif called.attr in ("cuda", "mps"):
            yield place, called.attr


def _calls(node: ast.AST, file: str, names: tuple[str, ...]) -> Iterator[tuple[ast.Call, str]]:
    for child in ast.iter_child_nodes(node):
        inside = (*names, child.name) if isinstance(child, ast.FunctionDef | ast.ClassDef) else names
        if isinstance(child, ast.Call):
            yield child, f"{file}:{'.'.join(inside)}"
        yield from _calls(child, file, inside)


def _moved(tree: ast.AST, call: ast.Call) -> bool:
    """Whether a call is followed by ``.to(…)`` at once."""
    return any(isinstance(node, ast.Attribute) and node.attr == "to" and node.value is call for node in ast.walk(tree))


def _is_call_of(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name


def test_tensors_are_made_on_a_named_device() -> None:
    found = [each for file in FILES for each in problems(ast.parse((ROOT / file).read_text()), file.as_posix())]
    assert found == [], "name the device, as with device=tokens.device or new_zeros, or say why the CPU is right"


def test_every_exception_is_needed() -> None:
    used = {
        place
        for file in FILES
        for node, place in _calls(ast.parse((ROOT / file).read_text()), file.as_posix(), ())
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("numpy", "from_numpy", "Generator")
    }
    assert {*ON_CPU, GENERATORS} - used == set()


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("torch.zeros(3)", ["torch.zeros"]),
        ("torch.zeros(3, device=x.device)", []),
        ("torch.tensor([3]).to(x)", []),
        ("torch.zeros(3).to(x)", ["torch.zeros"]),
        ("x.new_zeros(3) + torch.zeros_like(x)", []),
        ("torch.Generator().manual_seed(1)", ["torch.Generator"]),
        ("torch.from_numpy(a)", ["torch.from_numpy"]),
        ("torch.from_numpy(a).to(device)", []),
        ("x.numpy()", ["numpy"]),
        ("x.cpu().numpy()", []),
        ("x.cuda()", ["cuda"]),
    ],
)
def test_the_lint_finds_what_it_is_for(code: str, found: list[str]) -> None:
    tree = ast.parse(f"def f():\n    return {code}")
    assert [name for _, name in problems(tree, "file.py")] == found
