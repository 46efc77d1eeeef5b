"""Time a training step of the GRU language model, compared with the same model on ``torch.nn.GRU``.

    python benchmarks/training/bench_training_step.py [--steps 10] [--rows 64]

Both do forward and backward passes of 2 layers of 384 units over one batch, alternately, with one thread; the best CPU
time of each counts. The rows have the lengths of molecules, 20 to 60 tokens. ``torch.nn.GRU`` computes all rows to the
end of the longest one; molbuffer computes only the tokens inside rows, with products in float32, with those of the
gradient in bfloat16, and with all in bfloat16. Next to the time stands the cosine between the gradient and that of
``torch.nn.GRU`` in float32.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.nn import functional

from molbuffer.samplers import START
from molbuffer.samplers.models import GRUArchitecture, GRULanguageModel, products_in

VOCABULARY, SHORTEST, LONGEST = 64, 20, 60
PRECISIONS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "float32": contextlib.nullcontext,
    "gradient in bfloat16": lambda: products_in("mixed"),
    "bfloat16": lambda: products_in("bfloat16"),
}


def ours(model: GRULanguageModel, tokens: Tensor, lengths: Tensor) -> Tensor:
    return model.log_probs(tokens, lengths)


def theirs(model: GRULanguageModel, tokens: Tensor, lengths: Tensor) -> Tensor:
    """Return a function that computes the same model by ``torch.nn.GRU``."""
    before = functional.pad(tokens[:, :-1], (1, 0), value=START)
    logits = model.head(model.recurrent(model.embedding(before))[0]) + model.impossible
    chosen = logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
    return chosen * (torch.arange(tokens.shape[1]) < lengths[:, None])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--steps", type=int, default=10, help="steps of each timing")
    arguments.add_argument("--rows", type=int, default=64, help="of a batch")
    chosen = arguments.parse_args()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    model = GRULanguageModel(GRUArchitecture(VOCABULARY))
    tokens = torch.randint(START + 2, VOCABULARY, (chosen.rows, LONGEST))
    lengths = torch.randint(SHORTEST, LONGEST + 1, (chosen.rows,))
    weights = torch.randn(chosen.rows, 1)  # as of a loss
    timed = {
        "torch.nn.GRU": (theirs, contextlib.nullcontext),
        **{name: (ours, kind) for name, kind in PRECISIONS.items()},
    }
    best, gradients = dict.fromkeys(timed, float("inf")), {}
    for _ in range(chosen.steps + 1):
        for name, (log_probs, precision) in timed.items():
            started = time.thread_time()
            model.zero_grad(set_to_none=True)
            with precision():
                loss = (log_probs(model, tokens, lengths) * weights).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            best[name] = min(best[name], time.thread_time() - started)
            gradients[name] = torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None])
    torch.set_num_threads(threads)
    print(f"torch.nn.GRU: {1000 * best['torch.nn.GRU']:.0f} ms for {chosen.rows} rows")
    for name in PRECISIONS:
        cosine = functional.cosine_similarity(gradients[name].double(), gradients["torch.nn.GRU"].double(), 0)
        ratio = best["torch.nn.GRU"] / best[name]
        print(f"ours, {name}: {1000 * best[name]:.0f} ms, ratio {ratio:.2f}, cosine {cosine:.6f}")


if __name__ == "__main__":
    main()
