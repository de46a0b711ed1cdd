"""Records of the shape that studies of training write, with made-up numbers: nothing was trained."""

import math

from experiments.records import record

WINDOW = 256
WINDOWS = (64, 128, 256, 512, 1024, 2048)
# by how many nats each document is harder than their mean; the last two are from one text
ABOVE = (-0.3, -0.1, 0.0, 0.15, 0.25)
TEXTS = {corpus: [f"{corpus} {name}" for name in "abcdd"] for corpus in ("books", "code")}


def entry(step, perplexity, k_max):
    """A measurement with the same perplexities, by window, on both corpora."""
    measured = {
        str(window): {
            "loss_nats": loss,
            "perplexity": math.exp(loss),
            "tokens": 100,
            "documents": 5,
            "loss_nats_stderr": 0.002,
            "document_loss_nats": [loss + above for above in ABOVE],
        }
        for window, loss in perplexity.items()
    }
    context = max(perplexity)
    accuracy = {str(k): float(k <= k_max) for k in range(context // 8, context + 1, context // 8)}
    return {"step": step, "perplexity": {"books": measured, "code": measured}, "k_max": k_max, "accuracy": accuracy}


def losses(*, up_to, own=3.0, slope=0.0):
    """Loss `own` inside the trained window, changing by `slope` with each doubling beyond it."""
    return {w: own + slope * max(0, (w // WINDOW).bit_length() - 1) for w in WINDOWS if w <= up_to}


def run(method, factor, seed, *, start, end, k_max, steps=(0, 10, 50), peak_lr=1e-4):
    """A curve from `start` to `end`, (own, slope) of `losses`."""
    curve = []
    for number, step in enumerate(steps):
        share = number / (len(steps) - 1)
        own, slope = (a + share * (b - a) for a, b in zip(start, end, strict=True))
        curve.append(entry(step, losses(up_to=factor * WINDOW, own=own + 0.001 * seed, slope=slope), k_max))
    return {"method": method, "factor": factor, "peak_lr": peak_lr, "seed": seed, "curve": curve}


def tables(*, seeds=2, base_k_max=256, pi_end=(2.99, -0.1), direct_end=(3.1, 0.3)):
    """Metrics of ``tiny_tables`` in which the paper's picture holds, unless told otherwise."""
    runs = []
    for factor in (2, 4, 8):
        for seed in range(seeds):
            runs.append(
                run(
                    "linear",
                    factor,
                    seed,
                    start=(3.5, 0.1),
                    end=(pi_end[0] + factor / 1000, pi_end[1]),
                    k_max=256 * factor,
                )
            )
            runs.append(run("none", factor, seed, start=(3.0, 2.0), end=direct_end, k_max=WINDOW))
    return {
        "model": {"name": "made-up", "parameters": 2_200_000, "window_tokens": WINDOW},
        "steps_tokens": 4096,
        "texts": TEXTS,
        "runs": runs,
        "base": entry(0, losses(up_to=2048, own=3.0, slope=2.0), base_k_max),
    }


def sweep():
    """Metrics of ``tiny_sweep``, three seeds at factor 4: the high rate reads farther, the low one predicts better."""
    made = tables(seeds=3)
    runs = []
    for one in made["runs"]:
        if one["factor"] == 4 or one["seed"] == 0:
            far = run(
                one["method"],
                one["factor"],
                one["seed"],
                start=(3.6, 0.1),
                end=(4.0, 0.1),
                k_max=one["curve"][-1]["k_max"],
                peak_lr=1e-3,
            )
            for low, high in zip(one["curve"], far["curve"], strict=True):
                low["k_max"] = high["k_max"] // 2
            runs += [one, far]
    return made | {"runs": runs}


def interpolated(*, loss=3.0, reach=1.0, steps=(0, 100, 1000)):
    """Metrics of ``tiny_short_windows``: PI ends at a loss in every window, and finds passkeys in a share of L'."""
    settings = {"start": (3.5, 0.1), "end": (loss, 0.0), "steps": steps, "peak_lr": 3e-4}
    runs = [run("linear", n, seed, k_max=round(reach * n * WINDOW), **settings) for seed in range(2) for n in (2, 4, 8)]
    return tables() | {"runs": runs, "resumed": False}


def lag(caught_up, steps=(0, 25, 50, 100, 200, 400)):
    """Metrics of ``tiny_lag``, from the step at which direct fine-tuning is as far as PI, by tokens of pretraining."""

    def curve(adapted):
        return [entry(step, {WINDOW: 3.0, 4 * WINDOW: 3.0 if step >= adapted else 4.0}, WINDOW) for step in steps]

    models = []
    for tokens, step in caught_up.items():
        runs = [
            {"method": method, "factor": 4, "peak_lr": 3e-4, "seed": seed, "curve": curve(adapted)}
            for seed in range(2)
            for method, adapted in (("linear", 0), ("none", step))
        ]
        models.append({"tokens": tokens, "sha256": "0"} | tables() | {"runs": runs})
    return {"models": models, "resumed": False}


def methods():
    """Metrics of ``tiny_methods``."""
    made = tables()
    entries = {name: entry(0, losses(up_to=1024), 256) for name in ("none", "linear", "ntk", "dynamic", "yarn")}
    rows = {name: {"factor": 4, "zero_shot": e, "fine_tuned": e, "steps": 30} for name, e in entries.items()}
    return {key: made[key] for key in ("model", "steps_tokens", "base")} | {"methods": rows}


# config of a fine-tuning study like that of SmolLM2: what its figure and table read
FINETUNED = {"seed": 0, "factors": [2, 4], "steps": [10, 50], "last_tokens": 32, "positions": 4, "trials": 10}


def finetuned(*, methods=("linear", "none"), stop_after=50, pi_end=2.8, direct_end=4.0, seconds=1.0):
    """Metrics of ``smollm2_finetune`` in which the paper's picture holds, unless told otherwise.

    A run is measured up to `stop_after` steps; of `methods` that are not there it says so.
    """

    def measured(step, by_window, k_max):
        one = entry(step, by_window, k_max)
        return one | {
            "last": one["perplexity"],
            "seconds": dict.fromkeys(("training", "perplexity", "passkey"), seconds),
        }

    windows = [w for w in WINDOWS if w <= 4 * WINDOW]
    alone = {w: 3.0 if w <= WINDOW else 6.0 for w in windows}
    ends = {"linear": (4.0, pi_end), "none": (6.0, direct_end)}
    runs, zero_shot, not_measured = [], [], []
    for factor in FINETUNED["factors"]:
        reached = [w for w in windows if w <= factor * WINDOW]
        for method in methods:
            start, end = ends[method]
            curve = []
            for step in (0, *FINETUNED["steps"]):
                level = start + step / FINETUNED["steps"][-1] * (end - start)
                k_max = factor * WINDOW if method == "linear" and step else WINDOW
                if step <= stop_after:
                    curve.append(
                        measured(step, dict.fromkeys(reached, level) | {WINDOW: min(level + 0.1, 3.01)}, k_max)
                    )
            runs.append({"method": method, "factor": factor, "peak_lr": 1e-4, "seed": 0, "curve": curve})
        for method in ("linear", "none", "ntk", "yarn"):
            by_window = alone if method == "none" else dict.fromkeys(reached, 4.0 if method == "linear" else 3.5)
            zero_shot.append({"method": method, "factor": factor, **measured(0, by_window, WINDOW)})
        for method in ("linear", "none"):
            if steps := [s for s in FINETUNED["steps"] if method not in methods or s > stop_after]:
                not_measured.append({"method": method, "factor": factor, "steps": steps})
    documents = {corpus: {"documents": names, "sha256": "0"} for corpus, names in TEXTS.items()}
    return {
        "model": {"name": "made-up", "parameters": 2_200_000, "window_tokens": WINDOW},
        "steps_tokens": 4096,
        "base": measured(0, alone, WINDOW),
        "runs": runs,
        "zero_shot": zero_shot,
        "measured_on": documents,
        "not_measured": not_measured,
        "stopped_early": stop_after < FINETUNED["steps"][-1],
        "resumed": False,
    }


def pretrained(*, candidate=2.9, not_measured=()):
    """Metrics of ``tiny_pretrain`` with two candidates, of which the second is chosen."""

    def measured(loss):
        one = entry(0, dict.fromkeys((128, WINDOW), loss), WINDOW)
        test, validation = (
            one["perplexity"],
            {name: {str(WINDOW): rows["256"]} for name, rows in one["perplexity"].items()},
        )
        return {"validation": validation, "test": test, "k_max": WINDOW, "accuracy": {str(WINDOW): 1.0}}

    def trained(tokens, loss):
        about = {"tokens": tokens, "steps": tokens // 8192, "training_seconds": 1.0, "device": "no device"}
        return about | measured(loss)

    return {
        "model": {"name": "made-up", "parameters": 2_200_000, "window_tokens": WINDOW},
        "shipped": measured(3.0),
        "candidates": [trained(24_576_000, candidate + 0.1), trained(49_152_000, candidate)],
        "chosen": 49_152_000,
        "sha256": "0",
        "better": candidate < 3.0,
        "rule": "made up",
        "not_measured": list(not_measured),
        "stopped_early": bool(not_measured),
        "resumed": False,
    }


# config of a study of context like that of SmolLM2
CONTEXT = {
    "model": "smollm2-135m",
    "contexts": [64, 128, 256, 512],
    "last_tokens": 32,
    "corpora": {
        "books": {"source": "books"},
        "near repeats": {"source": "books", "repeats": "near"},
        "far repeats": {"source": "books", "repeats": "far"},
    },
}


def context(*, inside=-0.1, beyond=(("PI ×2", 0.2), ("YaRN ×2", -0.05)), noise=0.01):
    """Metrics of ``smollm2_context``: the loss changes by so much with each doubling, beyond the window by model.

    Texts differ from each other far more than contexts do, and each change by at most ``noise`` from text to text.
    """

    def measured(name, method, served, change):
        levels = {64: 4.0, 128: 4.0 + inside, 256: 4.0 + 2 * inside, 512: 4.0 + 2 * inside + change}
        own = 0.0 if method == "none" else 0.02
        by_context = {
            str(n): [level + own + above + noise * (number % 3 - 1) * n / 512 for number, above in enumerate(ABOVE)]
            for n, level in levels.items()
            if n <= served
        }
        losses = dict.fromkeys(CONTEXT["corpora"], by_context)
        one = {"name": name, "method": method, "factor": served / WINDOW}
        return one | {"context_tokens": served, "document_loss_nats": losses}

    ways = {"PI ×2": "linear", "YaRN ×2": "yarn"}
    extended = [measured(name, ways[name], 2 * WINDOW, change) for name, change in beyond]
    return {
        "window_tokens": WINDOW,
        "models": [measured("untouched", "none", WINDOW, 0.0), *extended],
        "texts": {corpus: list("abcde") for corpus in CONTEXT["corpora"]},
    }


# config of a study of RULER like that of SmolLM2
RULER = {"model": "smollm2-135m", "tasks": ["easy", "hard"], "item_tokens": [128, 256], "limit": 200}


def ruler(*, easy=(180, 178), hard=(0, 0), items=200):
    """Metrics of ``smollm2_ruler``: how many items of each task are right, untouched and extended by PI."""

    def measured(number, name, method):
        right = {"easy": easy[number], "hard": hard[number]}
        scores = {
            task: {str(n): [1.0] * count + [0.0] * (items - count) for n in RULER["item_tokens"]}
            for task, count in right.items()
        }
        return {"name": name, "method": method, "factor": 1.0 + number, "scores": scores}

    models = [measured(0, "untouched", "none"), measured(1, "PI ×2", "linear")]
    return {"window_tokens": WINDOW, "models": models, "harness": "lm_eval 0"}


def write(study, metrics, *, label="", live=True, **more):
    """A whole record around such metrics, where `record.RESULTS` is; its path."""
    name = f"{study}@{label}" if label else study
    config = {"seed": 0, "trials": 10}
    made = {
        "schema": record.SCHEMA,
        "study": study,
        "label": label,
        "says": "made up for a test",
        "command": f"python -m experiments {study}",
        "config": config,
        "config_sha256": record.digest(config),
        "code_sha256": "",
        "inputs": {},
        "code": {},
        "written": "2000-01-01T00:00:00+00:00",
        "commit": "0" * 40,
        "dirty": False,
        "python": "3",
        "versions": {},
        "device": "no device",
        "wall_seconds": 1.0,
        "peak_memory_gib": 0.1,
        "metrics": metrics,
        **more,
    }
    path = record.path_of(name, live=live)
    record.write(made, path)
    return path
