"""What each fusion strategy costs: time and memory of forward and backward, and how both grow with tokens.

Every strategy in conf/fusion, with the options of its YAML, in training mode. Token-level strategies are held against
their own arithmetic written out by hand with torch's attention (``bare_fusion.py``), and give tokens; pooled
ones against a single matrix product of as many operations, which nothing that consists of several steps reaches. The
two take turns in one process; the median of the rounds' ratios is the result, 1 = equally fast. Peak memory is that of
a process of its own, above what it held before the first pass. Sequences are padded: real lengths lie between half and
all.

Run: python benchmarks/fusion.py [--only single_stream mult] [--rounds 9] [--lengths 50 100 … 1600]
Try: python benchmarks/fusion.py --batch 4 --rounds 3 --lengths 50 100 --growth-batch 1 --out /tmp/fusion.json
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from bare_fusion import FLOORS, OneProduct
from hydra.utils import get_class
from omegaconf import OmegaConf
from torch.utils.flop_counter import FlopCounterMode

from mmbert.core.types import Encoded
from mmbert.fusion.base import Fusion

HERE = Path(__file__).parent
CONF = HERE.parent / "conf" / "fusion"
MODALITIES = ("text", "image", "audio")
AIM = 1.2
#: Holds a module of another package and calculates nothing itself.
FRAME = "adapter"


def built(name: str, width: int) -> Fusion:
    """A strategy with its YAML's options, for three modalities of this width; pooled ones without tokens."""
    options = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    assert isinstance(options, dict)
    torch.manual_seed(0)
    fusion = get_class(options.pop("_target_"))(dict.fromkeys(MODALITIES, width), **options)
    if not fusion.reads_tokens:
        fusion.drop_tokens()
    return fusion.train()  # type: ignore[no-any-return]


def batch_of(batch: int, tokens: int, width: int) -> dict[str, Encoded]:
    """Random tokens that want gradients, as those of an encoder do; padded behind the real ones."""
    torch.manual_seed(1)
    inputs = {}
    for m in MODALITIES:
        real = torch.randint(tokens // 2, tokens + 1, (batch, 1))
        mask = torch.arange(tokens) < real
        inputs[m] = Encoded.from_tokens(torch.randn(batch, tokens, width).requires_grad_(), mask)
        inputs[m] = Encoded(inputs[m].tokens, mask, inputs[m].pooled.detach().requires_grad_())
    return inputs


def strategy_step(fusion: Fusion, inputs: dict[str, Encoded]) -> Callable[[], None]:
    """Forward and backward of the strategy."""

    def step() -> None:
        fused = fusion(inputs)
        backward(fused.pooled, fused.tokens, fusion, inputs)

    return step


def floor_step(name: str, fusion: Fusion, inputs: dict[str, Encoded]) -> Callable[[], None]:
    """Forward and backward of what the strategy is held against."""
    if name in FLOORS:
        bare = FLOORS[name]
        agree(name, fusion, inputs)

        def step() -> None:
            backward(*bare(fusion, inputs), fusion, inputs)

        return step
    with FlopCounterMode(display=False) as counter:
        strategy_step(fusion, inputs)()
    batch = next(iter(inputs.values())).mask.shape[0]
    product = OneProduct(counter.get_total_flops(), batch, fusion.out_dim)

    def one_product() -> None:
        backward(product(), {}, product, {})

    return one_product


def agree(name: str, fusion: Fusion, inputs: dict[str, Encoded]) -> None:
    """Refuses a floor that calculates something else."""
    fusion.eval()
    with torch.no_grad():
        fused = fusion(inputs)
        pooled, tokens = FLOORS[name](fusion, inputs)
    fusion.train()
    torch.testing.assert_close(pooled, fused.pooled, rtol=1e-4, atol=1e-4)
    for m, x in inputs.items():
        torch.testing.assert_close(tokens[m][x.mask], fused.tokens[m][x.mask], rtol=1e-4, atol=1e-4)


def backward(pooled: torch.Tensor, tokens: dict[str, torch.Tensor], module: Any, inputs: dict[str, Encoded]) -> None:
    """Of a loss to which everything contributes; gradients are forgotten first, as an optimiser does."""
    module.zero_grad()
    for x in inputs.values():
        x.tokens.grad = x.pooled.grad = None
    sum([pooled.square().mean(), *(t.square().mean() for t in tokens.values())]).backward()  # type: ignore[union-attr]


def seconds(step: Callable[[], None], at_least: float) -> float:
    """Of one step, the mean over as many as fill the time."""
    count, began = 0, time.perf_counter()
    while count < 2 or time.perf_counter() - began < at_least:
        step()
        count += 1
    return (time.perf_counter() - began) / count


def held(which: str) -> float:
    """MiB that this process holds now (``VmRSS``) or held at most (``VmHWM``); Linux alone tells."""
    return int(re.findall(rf"{which}:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024


def memory_of(step: Callable[[], None]) -> float:
    """MiB at the peak of two steps, above what was held before."""
    before = held("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
    step()
    step()
    return held("VmHWM") - before


def child(task: str, name: str, batch: int, tokens: int, width: int, rounds: int, at_least: float) -> dict[str, Any]:
    """One measurement in this process: ``turns``, ``memory``, ``floor_memory`` or ``growth``."""
    fusion, inputs = built(name, width), batch_of(batch, tokens, width)
    ours = strategy_step(fusion, inputs)
    if task == "turns":
        floor = floor_step(name, fusion, inputs)
        pairs = []
        for number in range(rounds + 1):  # the first warms up: allocator, kernels
            both = (ours, floor) if number % 2 else (floor, ours)
            taken = [seconds(step, at_least) for step in both]
            pairs.append(tuple(taken if number % 2 else reversed(taken)))
        ratios = [one / other for one, other in pairs[1:]]
        return {
            "ms": 1000 * statistics.median(one for one, _ in pairs[1:]),
            "floor_ms": 1000 * statistics.median(other for _, other in pairs[1:]),
            "ratio": statistics.median(ratios),
            "ratios": [round(ratio, 3) for ratio in ratios],
        }
    if task == "floor_memory":
        return {"mib": memory_of(floor_step(name, fusion, inputs))}
    mib = memory_of(ours)
    return {"mib": mib} if task == "memory" else {"mib": mib, "ms": 1000 * seconds(ours, at_least)}


def measured(task: str, name: str, args: argparse.Namespace, batch: int, tokens: int) -> dict[str, Any]:
    """``child`` in a process of its own."""
    words = [sys.executable, __file__, "--child", task, "--only", name, "--batch", str(batch), "--tokens", str(tokens)]
    words += ["--width", str(args.width), "--rounds", str(args.rounds), "--seconds", str(args.seconds)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def slope(points: dict[int, float]) -> float | None:
    """Exponent p of cost ~ tokens^p between the last two lengths; None if there is but one."""
    if len(points) < 2:
        return None
    (a, first), (b, last) = list(points.items())[-2:]
    return round(math.log(last / first) / math.log(b / a), 2)


def report(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """All about one strategy, printed as it comes."""
    turns = measured("turns", name, args, args.batch, args.tokens)
    mib, floor_mib = (measured(task, name, args, args.batch, args.tokens)["mib"] for task in ("memory", "floor_memory"))
    grown = {n: measured("growth", name, args, args.growth_batch, n) for n in args.lengths}
    told = {
        "floor": "bare attention" if name in FLOORS else "one matrix product",
        **{key: round(value, 3) if isinstance(value, float) else value for key, value in turns.items()},
        "peak_mib": round(mib, 1),
        "floor_peak_mib": round(floor_mib, 1),
        "growth": {n: {key: round(value, 2) for key, value in one.items()} for n, one in grown.items()},
        "time_exponent": slope({n: one["ms"] for n, one in grown.items()}),
        "memory_exponent": slope({n: max(one["mib"], 0.1) for n, one in grown.items()}),
    }
    late = name in FLOORS and told["ratio"] > AIM
    print(
        f"{name:>16}: {told['ms']:8.1f} ms, {told['ratio']:.2f} of {told['floor']}{' (aim missed)' if late else ''}; "
        f"peak {told['peak_mib']:.0f} MiB (floor {told['floor_peak_mib']:.0f}); grows with tokens to the power of "
        f"{told['time_exponent']} (time), {told['memory_exponent']} (memory)",
        flush=True,
    )
    return told


def main() -> None:
    """Prints a line for each strategy and writes all numbers beside the machine's description."""
    every = sorted(path.stem for path in CONF.glob("*.yaml") if path.stem != FRAME)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=every, choices=every, help="some strategies")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=50, help="of each of the three modalities")
    parser.add_argument("--width", type=int, default=256, help="of the encoders' tokens")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0, help="each side of a round at least")
    parser.add_argument("--lengths", type=int, nargs="*", default=[50, 100, 200, 400, 800, 1600], help="for the growth")
    parser.add_argument("--growth-batch", type=int, default=4)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "fusion.json")
    parser.add_argument("--child", choices=["turns", "memory", "floor_memory", "growth"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        size = (args.batch, args.tokens, args.width)
        print(json.dumps(child(args.child, args.only[0], *size, args.rounds, args.seconds)))
        return
    from mmbert.runs.environment import environment  # heavy, and no child needs it

    result = {
        "what": "forward + backward of each fusion strategy against the same arithmetic by hand (1 = equally fast)",
        "batch": args.batch,
        "modalities": len(MODALITIES),
        "tokens_each": args.tokens,
        "width": args.width,
        "growth_batch": args.growth_batch,
        "threads": torch.get_num_threads(),
        "strategies": {name: report(name, args) for name in args.only},
        "environment": environment(),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
