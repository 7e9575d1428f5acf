"""Times one operation as the Rust benchmarks do: processor time, median."""

import json
import statistics
import time

BATCHES = 15
BATCH_NS = 100_000_000


def nanoseconds(operation):
    """The median over batches of one call's processor time."""
    start = time.thread_time_ns()
    operation()
    once = max(time.thread_time_ns() - start, 1)
    calls = max(1, BATCH_NS // once)
    batches = []
    for _ in range(BATCHES):
        start = time.thread_time_ns()
        for _ in range(calls):
            operation()
        batches.append((time.thread_time_ns() - start) / calls)
    return statistics.median(batches)


def report(library, operations):
    """One JSON object: the library, and nanoseconds by operation."""
    measured = {name: nanoseconds(operation) for name, operation in operations.items()}
    print(json.dumps({"library": library, "nanoseconds": measured}))


def skip(library, reason):
    """Says why there is nothing to compare with."""
    print(json.dumps({"library": library, "skipped": str(reason)}))
