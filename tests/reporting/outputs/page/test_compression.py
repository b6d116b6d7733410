"""The page of a compression: every number, intervals, and the line of the frontier."""

from mmbert.reporting.outputs.page.compression import compression_page, frontier_figure


def row(name, value, milliseconds, on, low=0.5, high=0.9):
    latency = {"p50_ms": milliseconds, "p95_ms": 2 * milliseconds, "speedup": 10 / milliseconds}
    found = {"metric": "accuracy", "higher_is_better": True, "samples": 40, "value": value, "low": low, "high": high}
    return {
        "name": name,
        "parameters": 1234,
        "bytes": 3 * 2**20,
        "deflated_bytes": 2**20,
        "quality": {"answer": {**found, "difference": {"value": -0.0125, "low": -0.02, "high": 0.01}}},
        "latency": {"1": latency, "32": latency},
        "memory": {"peak_mib": 456.0, "imports_mib": 123.0},
        "frontier": {"latency": on, "size": on},
        "remarks": ["trained on for <2> epochs"],
    }


def content():
    rows = [row("original", 0.8, 10.0, True), row("int8_onnx", 0.79, 4.0, True), row("slow", 0.7, 12.5, False)]
    settings = {
        "model": "outputs/x",
        "split": "test",
        "threads": 2,
        "rounds": 7,
        "bootstraps": 100,
        "finished": "today",
    }
    settings["finished"] = "today"
    machine = {"cpu": {"model": "a processor", "usable_cores": 2}}
    return {**settings, "task": "answer", "variants": rows, "failed": {"layers": "why <not>"}, "environment": machine}


def test_the_page_has_every_number():
    page = compression_page(content())
    for text in ("0.7900 [0.5000, 0.9000]", "-0.0125 [-0.0200, +0.0100]", "2.50", "456", "1,234", "a processor"):
        assert text in page
    assert "could not be made: why &lt;not&gt;" in page
    assert "trained on for &lt;2&gt; epochs" in page


def test_the_frontier_is_joined_from_the_cheapest_and_has_its_intervals():
    rows = content()["variants"]
    on, off = frontier_figure(rows, "answer", "latency", [10.0, 4.0, 12.5], "ms")["data"]
    assert on["text"] == ["int8_onnx", "original"] and on["x"] == [4.0, 10.0] and "lines" in on["mode"]
    assert off["text"] == ["slow"] and "lines" not in off["mode"]
    assert [round(x, 4) for x in on["error_y"]["array"]] == [0.11, 0.1]
