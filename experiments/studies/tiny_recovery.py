"""What fine-tuning gives back of what extending the tiny LLaMA took: bends, attention and reach along the steps.

PI and direct fine-tuning go through the project's own recipe and loop, and are measured before training and on the way.
Each model is measured by its own queries, keys and frequencies, beside the untouched model on the same held-out texts:
the bends and slopes of its heads where they attend, how far its attention is from the untouched one's and on which keys
it lies, and its loss by position. A head can prefer a key by the slope of its score too, of which PI by a factor kappa
takes a factor of about kappa where it takes kappa^2 of a bend.

What the theory does not say: its three statements are about heads whose coefficients stay as they are. Resolution says
by how much coefficients would have to grow for a bend to come back, and not whether training makes them grow or needs
the bend at all. Displacement takes the untouched attention for the best, which it need not be for other weights. Reach
is about phases that were never seen, and fine-tuning shows new ones. So what is seen here is measured and not proved,
at this size, this learning rate and these numbers of steps.
"""

import json
import math
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.measurement.heads.bends import attended_bends
from experiments.measurement.heads.own_attention import attended_slopes, attention_shares, own_logits
from experiments.measurement.heads.unextended_model import described, held_out_documents
from experiments.measurement.kept import Measured, kept, study_folder
from experiments.measurement.pinned_inputs import tiny_llama_and_corpora
from experiments.measurement.predictions.attention_displacement import displaced, from_parts, loss_above
from experiments.measurement.predictions.position_loss import by_bucket, onset, recent_losses
from experiments.measurement.predictions.rank_correlation import over_documents, spearman
from experiments.measurement.predictions.unscaled_checkpoint import unscaled_checkpoint
from experiments.measurement.training.fine_tuning import MEASURED, Run, recipe
from experiments.records.study import Study
from pi_model.errors import UsageError
from pi_model.evaluation.perplexity import losses_by_token
from pi_model.examine.heads import queries_and_keys
from pi_model.models.families import CausalLM
from pi_model.training.loop import train
from pi_theory.displacement import Change, change, moved
from pi_theory.reach import reach
from pi_theory.resolution import resolution
from pi_theory.scaling import NoScaling, Scaling, scaling_by_name

# What is measured of each document of a model, as arrays whose first axis is that of documents.
Arrays = dict[str, np.ndarray]


def run(config: dict[str, Any]) -> dict[str, Any]:
    """Every run at every step, beside the untouched model; killed at any moment it goes on where it was.

    Returns:
        ``untouched``: {heads, shares}. ``runs``: a list of {method, factor, seed, predicted, curve}. ``predicted`` is
        what the theory says of the method on untouched heads: {cap, slope_cap, reach_tokens, kl by window}, caps of a
        head on the fastest frequency. An entry of ``curve`` is {step, heads, bend, cap, slope, rank_correlation,
        windows, shares, excess, onset}. ``bend``, ``cap`` and ``slope`` are what the model has of those of the
        untouched model: the median of ``all`` heads, of the ``quarter`` that pointed most sharply in the untouched
        model, and of the ``sharpest``. ``rank_correlation`` is that of the bends of heads in both models. ``windows``
        is a list of {window, kl, tv, above_nats}; ``shares``, by window, are those of the classes that
        `attention_shares` names, mean over heads; ``excess`` is the loss over the untouched model's with recent
        context, by bucket of positions, and ``onset`` where it rises. ``heads`` is a list of {layer, head, bend, cap,
        slope, kl, shares} inside the trained window. ``rank_correlation``: of KL and TV with ``above_nats`` over runs,
        windows and corpora, at each step and over all of them, inside the trained window and beyond. Intervals are
        over documents.
        ``model``, ``measured_on``, ``resumed``.

    Raises:
        UsageError: a run's method is neither linear nor none, the paper's two; or the model is extended.
    """
    if others := {one["method"] for one in config["runs"]} - {"linear", "none"}:
        raise UsageError(f"runs: only linear and none are fine-tuned here, got {', '.join(sorted(others))}")
    beside = _Untouched(config)
    folder = study_folder("tiny_recovery", config)
    resumed = folder.exists()
    runs = [Run(one["method"], one["factor"], config["peak_lr"], one["seed"]) for one in config["runs"]]
    curves = [
        _curve(config, beside, one, settings["steps"], folder)
        for one, settings in zip(runs, config["runs"], strict=True)
    ]
    before = beside.arrays
    out = {
        "untouched": {"heads": _heads(before, beside), "shares": _shares(before, beside)},
        "runs": [
            {"method": one.method, "factor": one.factor, "seed": one.seed, "predicted": _predicted(one, beside)}
            | {"curve": [{"step": step} | _entry(arrays, beside) for step, arrays in curve.items()]}
            for one, curve in zip(runs, curves, strict=True)
        ],
        "rank_correlation": _rank_correlations(curves, beside),
        "model": described(beside.checkpoint, config),
        "measured_on": beside.measured_on,
        "resumed": resumed,
    }
    shutil.rmtree(folder)
    return out


class _Untouched:
    """The untouched model on the documents, with what every other model is compared with.

    Attributes:
        documents: token ids, each config["read"] times the longest extended window.
        queries: of each document and window, the positions at which attention is taken.
        logits: of each document and window, those of every head; distances count as at most the last trained one.
        recent: of each document, the losses of its tokens with recent context alone.
        arrays: by name, bends, caps, slopes and shares, the first axis is that of documents.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.checkpoint = unscaled_checkpoint(config["model"])
        model, windows, bos = self.checkpoint.model, config["windows"], self.checkpoint.bos_id is not None
        self.window = int(self.checkpoint.extension.window_tokens)
        longest = math.floor(config["read"] * max(one["factor"] for one in config["runs"]) * self.window)
        self.documents, self.measured_on = held_out_documents(self.checkpoint, {**config, "tokens": longest})
        rng = np.random.default_rng(config["seed"])
        self.queries = [{w: rng.integers(1, w, config["queries"]) for w in windows} for _ in self.documents]
        self.parts = [from_parts(model, ids[: max(windows)], self.window, bos) for ids in self.documents]
        self.recent = [recent_losses(model, ids, self.window, bos) for ids in self.documents]
        theta_J = self.change(NoScaling()).theta
        self.logits = [
            {w: own_logits(*qk, m_M, theta_J, farthest=self.window - 1)[0] for w, m_M in own.items()}
            for qk, own in zip(self.parts, self.queries, strict=True)
        ]
        shares = [
            [self.shares(of[w], own[w]) for w in windows] for of, own in zip(self.logits, self.queries, strict=True)
        ]
        self.arrays = {"shares": np.array(shares)} | _pointing(model, theta_J, self)

    def change(self, scaling: Scaling, **context: int) -> Change:
        extension = self.checkpoint.extension
        return change(scaling, head_dim=extension.head_dim, base=extension.base, window=self.window, **context)

    def shares(self, logits_NHMt: np.ndarray, m_M: np.ndarray) -> np.ndarray:
        """Of the classes of keys; the last are at distances that the untouched model never saw."""
        return attention_shares(logits_NHMt, m_M, [*self.config["distances"], self.window])

    def interval(self, statistic: Callable[[np.ndarray], float | None]) -> dict[str, Any]:
        """A number computed from documents, with its interval over them."""
        config = self.config
        return over_documents(statistic, len(self.documents), draws=config["bootstrap"], seed=config["seed"])


def _pointing(model: CausalLM, theta_J: np.ndarray, beside: _Untouched) -> Arrays:
    """Mean sizes of each head's bends, their caps and slopes, where the model attends inside the trained window."""
    own = Change(theta=theta_J, scaled=theta_J, score_factor=1.0, window=beside.window)
    queries, seed = beside.config["queries"], beside.config["seed"]
    found: dict[str, list[np.ndarray]] = {"bend": [], "cap": [], "slope": []}
    for n, ids in enumerate(beside.documents):
        text = ids[: beside.window]
        bends = attended_bends(model, [text], {"none": own}, queries=queries, seed=seed + n)["none"]
        slope = attended_slopes(*queries_and_keys(model, text), beside.queries[n][beside.window], theta_J)
        for name, values in (bends | {"slope": slope}).items():
            found[name].append(values)
    return {name: np.array(values) for name, values in found.items()}


def _curve(config: dict[str, Any], beside: _Untouched, one: Run, steps: list[int], folder: Path) -> dict[int, Arrays]:
    """Trains a model, and measures it before and on the way, as far as this has not been done before."""
    paths = {step: folder / one.name / f"step-{step}.json" for step in (0, *steps)}

    def look(step: int, model: CausalLM) -> None:
        kept(paths[step], partial(_measured, model, one, beside))

    if not all(path.exists() for path in paths.values()):
        train(
            recipe(config, one, steps[-1]),
            folder / one.name / "run",
            measure={step: partial(look, step) for step in paths},
        )
    return {
        step: {name: np.array(values) for name, values in json.loads(path.read_text()).items()}
        for step, path in paths.items()
    }


def _measured(model: CausalLM, one: Run, beside: _Untouched) -> Measured:
    """What is measured of a model, by name a list over documents."""
    config, windows = beside.config, beside.config["windows"]
    theta_J = beside.change(scaling_by_name(one.method, one.factor)).scaled
    found: dict[str, list[Any]] = {name: [] for name in ("kl", "tv", "shares", "above", "excess")}
    for ids, own, before, recent in zip(beside.documents, beside.queries, beside.logits, beside.recent, strict=True):
        q_NHTJ, k_NHTJ = queries_and_keys(model, ids[: max(windows)])
        rows = {w: own_logits(q_NHTJ, k_NHTJ, m_M, theta_J) for w, m_M in own.items()}
        apart = [moved(before[w], logits, read) for w, (logits, read) in rows.items()]
        losses = losses_by_token(model, ids)
        found["kl"].append([each.kl.mean(-1).tolist() for each in apart])
        found["tv"].append([each.tv.mean(-1).tolist() for each in apart])
        found["shares"].append([beside.shares(rows[w][0], own[w]).tolist() for w in windows])
        found["above"].append([loss_above(losses, recent, w) for w in windows])
        found["excess"].append(by_bucket(losses - recent, config["bucket"]).tolist())
    return found | {name: x.tolist() for name, x in _pointing(model, theta_J, beside).items()}


def _predicted(one: Run, beside: _Untouched) -> dict[str, Any]:
    """What the theory says of a method and untouched heads: cap on the fastest frequency, reach and displacement."""
    extension, scaling = beside.checkpoint.extension, scaling_by_name(one.method, one.factor)
    kind = {"head_dim": extension.head_dim, "base": extension.base, "window": beside.window}
    kl: dict[int, list[float]] = {w: [] for w in beside.config["windows"]}
    for parts, own in zip(beside.parts, beside.queries, strict=True):
        for w, m_M in own.items():
            kl[w].append(displaced(*parts, m_M, [beside.change(scaling, context=w)])[0][0])
    how = beside.change(scaling)
    return {
        "cap": resolution(scaling, **kind).fastest,  # type: ignore[arg-type]
        "slope_cap": float(np.sin(how.scaled[0]) / np.sin(how.theta[0])),
        "reach_tokens": reach(scaling, **kind).tokens,  # type: ignore[arg-type]
        "kl": {str(w): float(np.mean(values)) for w, values in kl.items()},
    }


def _entry(arrays: Arrays, beside: _Untouched) -> dict[str, Any]:
    """The numbers of one model at one step."""
    config, before = beside.config, beside.arrays
    order = np.argsort(-before["bend"].mean(0), axis=None, kind="stable")
    groups = {"all": order, "quarter": order[: max(1, len(order) // 4)], "sharpest": order[:1]}

    def left(name: str, heads: np.ndarray, chosen: np.ndarray) -> float:
        after, own = (x[name][chosen].mean(0).ravel()[heads] for x in (arrays, before))
        return float(np.median(after / own))

    def alike(chosen: np.ndarray) -> float | None:
        return spearman(*(x["bend"][chosen].mean(0).ravel().tolist() for x in (before, arrays)))

    def mean(values_D: np.ndarray) -> dict[str, Any]:
        return beside.interval(lambda chosen: float(values_D[chosen].mean()))

    excess = arrays["excess"].mean(0)
    return {
        "heads": _heads(arrays, beside),
        **{
            name: {group: beside.interval(partial(left, name, heads)) for group, heads in groups.items()}
            for name in ("bend", "cap", "slope")
        },
        "rank_correlation": beside.interval(alike),
        "windows": [
            {"window": window}
            | {name: mean(arrays[name][:, place].sum((1, 2))) for name in ("kl", "tv")}
            | {"above_nats": mean(arrays["above"][:, place])}
            for place, window in enumerate(config["windows"])
        ],
        "shares": _shares(arrays, beside),
        "excess": excess.tolist(),
        "onset": onset(excess, bucket=config["bucket"], window=beside.window, rise=config["rise_nats"]),
    }


def _heads(arrays: Arrays, beside: _Untouched) -> list[dict[str, Any]]:
    place = beside.config["windows"].index(beside.window)
    of = {name: arrays[name].mean(0) for name in ("bend", "cap", "slope")} | {
        "shares": arrays["shares"][:, place].mean(0)
    }
    if "kl" in arrays:
        of["kl"] = arrays["kl"][:, place].mean(0)
    return [
        {"layer": layer, "head": head} | {name: x[layer, head].tolist() for name, x in of.items()}
        for layer, head in np.ndindex(*of["bend"].shape)
    ]


def _shares(arrays: Arrays, beside: _Untouched) -> dict[str, list[float]]:
    mean = arrays["shares"].mean((0, 2, 3))
    return {str(window): mean[place].tolist() for place, window in enumerate(beside.config["windows"])}


def _rank_correlations(curves: list[dict[int, Arrays]], beside: _Untouched) -> dict[str, Any]:
    """Of KL and of TV with the loss above the untouched model, where a case is a run, step, window and corpus."""
    config = beside.config
    corpora = np.array([corpus for corpus, samples in config["corpora"].items() for _ in range(samples)])
    steps = sorted({step for curve in curves for step in curve})
    ranges = {
        "all": config["windows"],
        "inside": [w for w in config["windows"] if w <= beside.window],
        "beyond": [w for w in config["windows"] if w > beside.window],
    }

    def correlation(name: str, at: list[int], windows: list[int], chosen: np.ndarray) -> float | None:
        places = [config["windows"].index(window) for window in windows]
        apart, above = [], []
        for corpus in config["corpora"]:
            mine = chosen[corpora[chosen] == corpus]
            for curve in curves if mine.size else ():
                for step in curve.keys() & at:
                    apart += curve[step][name][mine][:, places].sum((2, 3)).mean(0).tolist()
                    above += curve[step]["above"][mine][:, places].mean(0).tolist()
        return spearman(apart, above)

    cases = {"all steps": steps, **{f"step {step}": [step] for step in steps}}
    return {
        what: {
            where: {name: beside.interval(partial(correlation, name, at, windows)) for name in ("kl", "tv")}
            for where, windows in ranges.items()
            if windows
        }
        for what, at in cases.items()
    }


STUDY = Study(
    name="tiny_recovery",
    says="What fine-tuning the tiny LLaMA gives back of what extending it took: its heads' bends, its attention and "
    "its loss by position, step by step",
    config={
        "model": "tiny-llama",
        "window_tokens": 256,  # L, the model's own
        "runs": [
            {"method": "linear", "factor": 4, "seed": 0, "steps": [25, 100]},
            {"method": "none", "factor": 4, "seed": 0, "steps": [25, 100]},
            {"method": "linear", "factor": 4, "seed": 1, "steps": [25, 100]},
        ],
        "steps_tokens": 4096,  # of one optimiser step
        "peak_lr": 1e-3,
        "warmup_steps": 20,
        "mixture": MEASURED["mixture"],  # what is trained on, by weight
        "corpora": {"books": 4, "code": 4},  # held-out documents of each
        "split": "test",
        "seed": 0,  # of the documents and queries; a run's own is that of its data
        "windows": [128, 256, 512, 1024],
        "queries": 32,  # of each document and window, at which attention and bends are taken
        "distances": [1, 2, 9, 65],  # at which classes of keys begin: itself, the one before, 2 to 8, 9 to 64, farther
        "read": 1.5,  # times the extended window
        "bucket": 64,  # positions
        "rise_nats": 0.25,  # over the level inside the window, from which on the loss counts as risen
        "bootstrap": 1000,
    },
    run=run,
    inputs=tiny_llama_and_corpora,
    window=256,
    lengths=("window_tokens", "steps_tokens", "windows", "bucket"),
    live=False,
    minutes=40,
    cores=1,
    profiles={
        "toy": {
            "runs": [
                {"method": "linear", "factor": 2, "seed": 0, "steps": [1, 2]},
                {"method": "none", "factor": 2, "seed": 0, "steps": [1]},
            ],
            "steps_tokens": 512,
            "warmup_steps": 1,
            "corpora": {"books": 1, "code": 1},
            "windows": [128, 256, 512],
            "queries": 4,
            "bootstrap": 10,
        }
    },
)
