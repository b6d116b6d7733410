"""How fast ``mmbert-serve`` answers beside ``mmbert-predict``, and what it does when far too much is asked of it.

Both answer the same rows of the demo set, its own files, with one model of the default networks (pretrained text
encoder, the others with random weights: speed does not depend on what was learnt; no text is remembered from round to
round). mmbert-predict's side is what ``predict_table`` runs (its loader with worker processes, its loop, its writer)
in a process that has loaded everything, timed from the first batch's answers to the last: the start of the command
and of its workers is left out, which makes the comparison harder. The server is the command itself in a process of
its own, and is asked one sample a request, as a form with files, by a load generator in a third process that has all
bodies ready before it begins: 64 connections that each send the next request when the last is answered. Rounds of the
two take turns on the same cores, the generator's work included. Latency of one client: one connection. Overload: more
connections than the queue has places, all at once.

Run: python benchmarks/serving.py [--rows 600] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
from hydra import compose, initialize_config_module

from mmbert.data.splits.splits import ALL
from mmbert.model import MultimodalModel
from mmbert.runs.environment import environment
from mmbert.training.build import build
from mmbert.training.predict import answered, chosen_device, growing_file, whole_table

ROOT = Path(__file__).parents[1]
CONNECTIONS = 64
MODALITIES = ("text", "image", "audio")


def saved_model(folder: Path) -> tuple[Path, Path]:
    """A model of the default networks, and the demo set's table."""
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        parts = build(compose("train", overrides=["encoders.text.remember_mib=0"]))
    parts.model.save_pretrained(folder / "model")
    return folder / "model", Path(parts.data.path)


def chosen_rows(table: Path, count: int, folder: Path) -> tuple[Path, list[dict[str, str]]]:
    """A table of the first rows that have all modalities, beside the files that it names; and the rows."""
    import pandas

    whole = pandas.read_csv(table, dtype=str, keep_default_na=False)
    complete = whole[(whole[list(MODALITIES)] != "").all(axis=1)].head(count)
    rows = complete[list(MODALITIES)].to_dict("records")
    for name in ("image", "audio"):
        complete = complete.assign(**{name: [str(table.parent / row[name]) for row in rows]})
    path = folder / "rows.csv"
    complete[list(MODALITIES)].to_csv(path, index=False)
    return path, pandas.read_csv(path, dtype=str).to_dict("records")


def bodies(rows: list[dict[str, str]], address: str) -> list[bytes]:
    """A whole request for each row, head and body, as a form with files."""
    made = []
    for row in rows:
        files = {name: (Path(row[name]).name, Path(row[name]).read_bytes()) for name in ("image", "audio")}
        request = httpx.Request("POST", f"{address}/predict", data={"text": row["text"]}, files=files)
        content = request.read()
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        made.append(f"POST /predict HTTP/1.1\r\n{head}\r\n".encode() + content)
    return made


async def ask(address: str, requests: list[bytes], connections: int) -> tuple[float, list[tuple[int, float]]]:
    """Sends all requests, each connection one after the other.

    Returns:
        Seconds from the first request to the last answer; and for each its status, 0 = lost, and its seconds.
    """
    place, answers = iter(requests), []
    parts = urlsplit(address)

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for request in place:
            began = time.perf_counter()
            try:
                if writer.is_closing():
                    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
                writer.write(request)
                await writer.drain()
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.split(b":")[1]))
                status = int(head.split(b" ", 2)[1])
                if b"connection: close" in head.lower():
                    writer.close()
            except (OSError, asyncio.IncompleteReadError):
                status = 0
                writer.close()
            answers.append((status, time.perf_counter() - began))
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(connections)))
    return time.perf_counter() - began, answers


def generate(address: str, rows: list[dict[str, str]], orders: Any, results: Any) -> None:
    """The load generator's process: for every number of (requests, connections) it is sent, what ``ask`` gives."""
    made = bodies(rows, address)
    results.put("ready")
    while (order := orders.get()) is not None:
        count, connections = order
        results.put(asyncio.run(ask(address, [made[i % len(made)] for i in range(count)], connections)))


class Predicting:
    """``predict_table`` in a process of its own, which has imported and loaded everything."""

    def __init__(self, model: Path, table: Path, out: Path) -> None:
        self.orders: Any = multiprocessing.get_context("spawn").Queue()
        self.results: Any = multiprocessing.get_context("spawn").Queue()
        arguments = (model, table, out, self.orders, self.results)
        self.process = multiprocessing.get_context("spawn").Process(target=self.run, args=arguments)
        self.process.start()

    @staticmethod
    def run(folder: Path, table: Path, out: Path, orders: Any, results: Any) -> None:
        """Answers the table for every order."""
        device = chosen_device("auto")
        model = MultimodalModel.from_pretrained(folder).to(device).eval()
        kinds = {name: task.kind for name, task in model.named_tasks().items()}
        while orders.get() is not None:
            data, _ = whole_table(model, table, {}, {"batch_size": 32, "num_workers": None})
            began, count = 0.0, 0
            with growing_file(out, kinds) as writer:
                for rows, answers, _ in answered(model, data.loader(ALL), device):
                    writer.write(rows, answers)
                    count += len(rows) if began else 0
                    began = began or time.perf_counter()
            results.put((time.perf_counter() - began, count))

    def speed(self) -> float:
        """Samples a second of one pass."""
        self.orders.put(True)
        seconds, count = self.results.get(timeout=600)
        return float(count / seconds)

    def close(self) -> None:
        """Ends the process."""
        self.orders.put(None)
        self.process.join(60)


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Milliseconds."""
    cuts = statistics.quantiles(seconds, n=100)
    return {
        "p50_ms": round(1000 * cuts[49], 1),
        "p99_ms": round(1000 * cuts[98], 1),
        "max_ms": round(1000 * max(seconds), 1),
    }


def started_server(model: Path, *words: str) -> tuple[subprocess.Popen[str], str]:
    """The command, and its address."""
    command = [sys.executable, "-m", "mmbert.cli.serve", f"model={model}", "port=0", *words]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert server.stdout is not None
    for line in server.stdout:
        if " page " in line:
            return server, line.split()[-1]
    raise SystemExit("the server did not start")


def compared_answers(address: str, model: Path, rows: list[dict[str, str]]) -> float:
    """Largest difference of a probability between the server's answers and ``predict``'s."""
    loaded = MultimodalModel.from_pretrained(model)
    worst = 0.0
    for row in rows:
        files = {name: Path(row[name]).read_bytes() for name in ("image", "audio")}
        got = httpx.post(f"{address}/predict", data={"text": row["text"]}, files=files, timeout=60).json()
        (wanted,) = loaded.predict([row])
        for task, answer in wanted.items():
            assert got[task]["prediction"] == answer["prediction"] or isinstance(answer["prediction"], float)
            for name, share in answer.get("probabilities", {}).items():
                worst = max(worst, abs(share - got[task]["probabilities"][name]))
    return worst


def measure(model: Path, table: Path, rows: list[dict[str, str]], rounds: int, scratch: Path) -> dict[str, Any]:
    """Everything, in turns."""
    context = multiprocessing.get_context("spawn")
    predicting = Predicting(model, table, scratch / "answers.jsonl")
    server, address = started_server(model)
    orders, results = context.Queue(), context.Queue()
    generator = context.Process(target=generate, args=(address, rows, orders, results))
    generator.start()
    assert results.get(timeout=120) == "ready"
    process = psutil.Process(server.pid)

    def load(count: int, connections: int) -> tuple[float, list[tuple[int, float]]]:
        orders.put((count, connections))
        found: tuple[float, list[tuple[int, float]]] = results.get(timeout=600)
        return found

    try:
        difference = compared_answers(address, model, rows[:8])
        predicting.speed(), load(len(rows) // 2, CONNECTIONS)  # the first pass warms files and allocators
        predict_speeds, serve_speeds, latencies = [], [], []
        for number in range(rounds):
            sides = ["predict", "serve"] if number % 2 == 0 else ["serve", "predict"]
            for side in sides:
                if side == "predict":
                    predict_speeds.append(predicting.speed())
                else:
                    seconds, answers = load(len(rows), CONNECTIONS)
                    assert {status for status, _ in answers} == {200}, Counter(status for status, _ in answers)
                    serve_speeds.append(len(rows) / seconds)
                    latencies += [taken for _, taken in answers]
        ratios = [ours / theirs for ours, theirs in zip(serve_speeds, predict_speeds, strict=True)]
        health = httpx.get(f"{address}/health").json()
        _, alone = load(100, 1)
        before = process.memory_info().rss
        seconds, flood = load(4000, 512)
        statuses = Counter(status for status, _ in flood)
        after = process.memory_info().rss
        still = httpx.get(f"{address}/health").json()
        return {
            "rows": len(rows),
            "rounds": rounds,
            "connections": CONNECTIONS,
            "largest_difference_of_a_probability": difference,
            "predict_samples_per_second": [round(speed, 1) for speed in predict_speeds],
            "serve_samples_per_second": [round(speed, 1) for speed in serve_speeds],
            "serve_to_predict": round(statistics.median(ratios), 3),
            "serve_to_predict_by_round": [round(ratio, 3) for ratio in ratios],
            "samples_per_batch": round(health["samples"] / health["batches"], 1),
            "latency_under_load": percentiles(latencies),
            "latency_of_one_client": percentiles([taken for _, taken in alone]),
            "overload": {
                "requests": len(flood),
                "connections": 512,
                "max_queue": health["max_queue"],
                "seconds": round(seconds, 1),
                "statuses": {str(status): count for status, count in sorted(statuses.items())},
                "lost": statuses[0],
                "answered": percentiles([taken for status, taken in flood if status == 200]),
                "refused": percentiles([taken for status, taken in flood if status == 503]),
                "memory_before_mib": before >> 20,
                "memory_after_mib": after >> 20,
                "queue_afterwards": still["queue"],
            },
        }
    finally:
        orders.put(None)
        predicting.close()
        server.terminate()
        server.wait(60)
        generator.join(10)


def main() -> None:
    """Prints what was measured and writes it beside the machine's description."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "serving.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        model, demo = saved_model(scratch)
        table, rows = chosen_rows(demo, args.rows, scratch)
        found = measure(model, table, rows, args.rounds, scratch)
    what = "samples a second of mmbert-serve over those of mmbert-predict (1 = equally fast); aim 0.9"
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"what": what, **found, "environment": environment()}, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    print(f"serve / predict: {found['serve_to_predict']} (aim 0.9)")


if __name__ == "__main__":
    main()
