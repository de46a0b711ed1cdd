"""Memory, arithmetic and time of a training run, before it is paid for.

A plan is a sheet of quantities, each a formula over those before it; the formula that is printed is the one that was
evaluated. Memory is that of one rank under FSDP2 as `pi_model.distributed.sharding` sets it up and `pi_model.training.loss` computes the
loss. Tests hold it against the allocations of real steps, and the arithmetic against torch's own count.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from pi_model.errors import UsageError
from pi_model.gpus import GPUS, Gpu
from pi_model.models.loading import SHIPPED, read_config
from pi_model.models.rope_parameters import read_extension
from pi_model.training.config import CHECKPOINTING, Config, Lora
from pi_model.training.loss import BLOCK_TOKENS
from pi_model.training.recipes import LLAMA

# Models that need no config.json: LLaMA 1 (Touvron et al. 2023, arXiv:2302.13971, Table 2, and its published configs)
# and SmolLM2-135M. Hidden, intermediate, layers, heads, key-value heads, vocabulary, window, tied.
_KNOWN = {
    LLAMA["7b"]: (4096, 11008, 32, 32, 32, 32000, 2048, False),
    LLAMA["13b"]: (5120, 13824, 40, 40, 40, 32000, 2048, False),
    LLAMA["33b"]: (6656, 17920, 60, 52, 52, 32000, 2048, False),
    LLAMA["65b"]: (8192, 22016, 80, 64, 64, 32000, 2048, False),
    "smollm2-135m": (576, 1536, 30, 9, 3, 49152, 8192, True),
}
_PAPER_CONTEXTS = (8192, 16384, 32768)
# The longest of these in Tables 1, 2 and 4 of Chen et al. 2023, by size and method.
_PAPER_LONGEST = {
    ("7b", "linear"): 32768,
    ("13b", "linear"): 32768,
    ("33b", "linear"): 16384,
    ("65b", "linear"): 8192,
    ("7b", "none"): 8192,
    ("13b", "none"): 8192,
    ("33b", "none"): 8192,
}

# Share of a GPU's memory that tensors may take. The rest is for the CUDA context, NCCL's buffers and fragmentation:
# an assumption, measured on no GPU here.
USABLE = 0.9

# Share of the peak arithmetic that a run reaches, recomputation counted as work: an assumption. For comparison, LLaMA
# 65B was trained at 380 tokens a second on each A100 (arXiv:2302.13971, Section 2.4): 0.48, recomputation left out.
UTILISATION = 0.4

NODE_GPUS = 8  # in a machine


@dataclass(frozen=True)
class Quantity:
    """One line of a plan.

    Attributes:
        unit: "bytes", "FLOP", "s", "h" or "" for a count.
        formula: over the quantities before it and the givens.
    """

    name: str
    value: float
    unit: str
    formula: str
    meaning: str


# name, unit, formula, meaning. Memory is one rank's; `width` is the bytes of a number in the forward pass; `adapted`
# names the weights that have LoRA adapters, which then are all that is trained.
_SHEET = [
    ("parameters", "", "layers * layer_parameters + root_parameters", "weights"),
    ("trained_layer", "", "layer_adapters if adapted else layer_parameters", "weights of a layer that are trained"),
    ("trained_root", "", "0 if adapted else root_parameters", "of embedding, head and last norm"),
    ("trained", "", "layers * trained_layer + trained_root", "weights that are trained"),
    ("micro_tokens", "", "micro_batch * sequence", "tokens in a forward pass"),
    ("accumulation", "", "global_batch / (gpus * micro_batch)", "forward passes for a step"),
    (
        "weights",
        "bytes",
        "(4 * trained + (width * parameters if adapted else 0)) / gpus",
        "trained ones in float32, frozen ones as the forward pass has them",
    ),
    ("optimizer_state", "bytes", "8 * trained / gpus", "AdamW's two moments, float32"),
    ("gradients", "bytes", "4 * trained / gpus", "float32, in shards"),
    ("gathered_layer", "bytes", "width * (layer_parameters + layer_adapters)", "one layer put together"),
    ("gathered_root", "bytes", "width * root_parameters", "embedding, head and last norm put together"),
    # What a weight is multiplied by is saved for its gradient: two norms' normalised form and output, and the MLP's
    # product; of adapters, what A takes, which those of one input share unless each drops other numbers, and gives.
    (
        "weight_inputs",
        "",
        "4 * hidden + intermediate if not adapted else rank * adapters + ("
        "(1 + (1 / width if cuda else 1)) * adapter_inputs if dropout else"
        " hidden * ('q_proj' in adapted or 'k_proj' in adapted or 'v_proj' in adapted)"
        " + hidden * ('gate_proj' in adapted or 'up_proj' in adapted) + intermediate * ('down_proj' in adapted))",
        "numbers a token that a layer saves for the gradients of weights alone",
    ),
    # Besides, two norms' float32 input, queries, keys, values and attention's output, which is o_proj's input too, the
    # log-sum-exp of each head, and the MLP's gate, silu and up.
    (
        "layer_activations",
        "bytes",
        "micro_tokens * (8 * hidden + 4 * heads"
        " + width * (2 * queries + 2 * keys + 3 * intermediate + weight_inputs))",
        "what one layer saves for its backward pass",
    ),
    ("layer_input", "bytes", "micro_tokens * width * hidden", "kept for each layer with checkpointing"),
    (
        "layer_products",
        "bytes",
        "micro_tokens * (4 * heads + width * (2 * queries + 2 * keys + 2 * hidden + 2 * intermediate"
        " + rank * adapters + adapter_outputs))",
        "what its matrix products and attention give, kept with selective checkpointing",
    ),
    (
        "layer_kept",
        "bytes",
        "layer_activations if checkpointing == 'none' else layer_input"
        " + (layer_products if checkpointing == 'selective' else 0)",
        "of each layer until its backward pass, as the run is set",
    ),
    # Products that were kept are used up as the layer is made again, all but the last, which nothing asks for.
    (
        "layer_recomputed",
        "bytes",
        "0 if checkpointing == 'none' else layer_activations"
        " + (layer_input - layer_products if checkpointing == 'selective' else 0)",
        "of one layer at a time, in its backward pass",
    ),
    ("activations", "bytes", "layers * layer_kept + layer_recomputed", "as the run is set"),
    ("activations_unchecked", "bytes", "layers * layer_activations", "for comparison: no checkpointing"),
    (
        "activations_checked",
        "bytes",
        "layers * layer_input + layer_activations",
        "for comparison: full checkpointing",
    ),
    (
        "final_activations",
        "bytes",
        "micro_tokens * hidden * (4 + (2 if adapted else 3) * width)",
        "last norm, and the loss's gradient",
    ),
    (
        "logits",
        "bytes",
        "(12 if micro_tokens > block else 8) * min(block, micro_tokens) * vocabulary",
        "a block's, what they are made from, and the block before; no more than this between whole blocks",
    ),
    # float32 is added in place; bfloat16 makes the product first, and on a CPU its float32 copy.
    (
        "head_product",
        "bytes",
        "0 if width == 4 or adapted else (2 if cuda else 6) * vocabulary * hidden",
        "a block's share of the head's gradient",
    ),
    ("whole_logits", "bytes", "8 * micro_tokens * vocabulary", "for comparison: float32, and their gradient"),
    ("kv_cache", "bytes", "2 * layers * keys * width * context", "one sequence of L' tokens, in generation"),
    ("held", "bytes", "weights + optimizer_state + (gradients if accumulation > 1 else 0)", "all through a step"),
    # A single rank has nothing to gather; others have what arrives beside what it is unpacked into, and in the forward
    # pass the next layer's arrives while one is at work.
    (
        "peak_at_start",
        "bytes",
        "held + (2 if gpus > 1 else 1) * (gathered_root + gathered_layer)",
        "where the first layer is put together",
    ),
    (
        "peak_in_forward",
        "bytes",
        "held + gathered_root + (3 if gpus > 1 else 1) * gathered_layer + (layers - 1) * layer_kept",
        "where the last layer is",
    ),
    (
        "peak_at_loss",
        "bytes",
        "held + gathered_root + gathered_layer + (0 if adapted else 4 * vocabulary * hidden) + final_activations"
        " + max(logits, 6 * min(block, micro_tokens) * vocabulary + head_product)"
        " + layers * layer_kept",
        "with the head's gradient, if it has one",
    ),
    (
        "backward_buffers",
        "bytes",
        "gathered_root + (0 if adapted else width * vocabulary * hidden) + width * trained_layer"
        " + (1 if adapted and gpus == 1 else 2) * gathered_layer",
        "a layer, its gradients, the layer before it, and the head with its gradient",
    ),
    (
        "backward_values",
        "bytes",
        "micro_tokens * width * (hidden + intermediate * (3 if adapted and 'down_proj' not in adapted else 2))",
        "gradients of an MLP, with its product where that was not saved",
    ),
    (
        "peak_at_last_layer",
        "bytes",
        "held + layers * layer_kept + max(20 * micro_tokens * hidden, layer_recomputed + backward_values)"
        " + backward_buffers",
        "where the backward pass begins",
    ),
    ("gradients_behind", "bytes", "4 * max(layers - 2, 0) * trained_layer / gpus", "of the layers done by then"),
    (
        "peak_at_second_layer",
        "bytes",
        "held + (0 if accumulation > 1 else gradients_behind) + backward_values + backward_buffers"
        " + (4 * trained_layer if layers > 2 else 0)"
        " + 2 * layer_kept + layer_recomputed",
        "where it nears its end, with the float32 gradients of the layer after it on their way",
    ),
    (
        "peak_at_root",
        "bytes",
        "weights + optimizer_state + gradients + gathered_root + 4 * trained_root",
        "where embedding and head have their gradients reduced",
    ),
    (
        "peak",
        "bytes",
        "max(peak_at_start, peak_in_forward, peak_at_loss, peak_at_last_layer, peak_at_second_layer, peak_at_root)",
        "the largest of these",
    ),
    ("room", "bytes", "usable * memory", "what tensors may take on this GPU"),
    ("tokens", "", "global_batch * sequence", "of a step, over all ranks"),
    (
        "layer_matrix",
        "",
        "hidden * (2 * queries + 2 * keys + 3 * intermediate)",
        "weights of a layer that multiply",
    ),
    (
        "model_flops",
        "FLOP",
        "tokens * ((4 if adapted else 6) * (layers * layer_matrix + vocabulary * hidden)"
        " + 6 * layers * queries * sequence)",
        "a step's, attention over the causal half, recomputation and adapters left out",
    ),
    # Attention: two products forward, five backward (the scores once more), each 2 queries sequence / 2 a token. Torch
    # recomputes a layer as far as its last saved tensor, which leaves the MLP's last product out, or its adapter's B.
    (
        "executed_flops",
        "FLOP",
        "tokens * ((4 if adapted else 6) * (layers * layer_matrix + vocabulary * hidden)"
        " + 6 * layers * layer_adapters + 7 * layers * queries * sequence"
        " + (layers * 2 * (layer_matrix + layer_adapters + queries * sequence"
        " - hidden * (rank if 'down_proj' in adapted else intermediate))"
        " if checkpointing == 'full' else 0))",
        "a step's, recomputation counted",
    ),
    (
        "traffic",
        "bytes",
        "accumulation * (gpus - 1) / gpus"
        " * (width * (2 * layers * (layer_parameters + layer_adapters) + root_parameters) + 4 * trained)",
        "a rank receives in a step: weights twice, gradients once",
    ),
    ("compute_time", "s", "executed_flops / (gpus * peak_flops * utilisation)", "of a step"),
    ("traffic_time", "s", "traffic / link", "of a step, at the link's data-sheet speed"),
    ("step_time", "s", "max(compute_time, traffic_time)", "traffic hidden behind arithmetic, or the other way round"),
    ("run_time", "h", "steps * step_time / 3600", "evaluation and checkpoints left out"),
    ("gpu_hours", "h", "gpus * run_time", "of the run"),
]  # fmt: skip
_COMPILED = [compile(formula, name, "eval") for name, _, formula, _ in _SHEET]


@dataclass(frozen=True)
class Shape:
    """What a plan needs to know of an architecture; sizes in numbers, `queries` and `keys` over all heads."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    queries: int
    keys: int
    vocabulary: int
    layer_parameters: int
    root_parameters: int

    @classmethod
    def of(cls, config: LlamaConfig) -> "Shape":
        """Read off a config, its parameters counted on the meta device."""
        one_layer = LlamaConfig.from_dict(config.to_dict() | {"num_hidden_layers": 1})
        with torch.device("meta"):
            model = LlamaForCausalLM(one_layer)
        layer = sum(parameter.numel() for parameter in model.model.layers.parameters())
        attention = model.model.layers[0].self_attn
        return cls(
            hidden=config.hidden_size,
            intermediate=config.intermediate_size,
            layers=config.num_hidden_layers,
            heads=config.num_attention_heads,
            queries=attention.q_proj.out_features,
            keys=attention.k_proj.out_features,
            vocabulary=config.vocab_size,
            layer_parameters=layer,
            root_parameters=sum(parameter.numel() for parameter in model.parameters()) - layer,
        )


def architecture(config: Config) -> LlamaConfig:
    """The architecture that a run trains, from at most one config.json and never the network.

    Raises:
        UsageError: it is neither known nor here. RunError: its config.json is broken.
    """
    if made := config.architecture:
        heads = (made.layers, made.heads, made.kv_heads)
        return _llama(made.hidden, made.intermediate, *heads, made.vocabulary, config.window_tokens, True)
    return _named(config.model or "")


def _named(model: str) -> LlamaConfig:
    if model in _KNOWN:
        return _llama(*_KNOWN[model])
    folder = SHIPPED.get(model, Path(model))
    if not folder.is_dir():
        names = ", ".join([*SHIPPED, *(f"llama-{size}" for size in LLAMA)])
        raise UsageError(f"model: {model} is no folder here; give one with a config.json, smollm2-135m, or {names}")
    return LlamaConfig.from_dict(read_config(folder))


def _llama(
    hidden: int, intermediate: int, layers: int, heads: int, kv_heads: int, vocabulary: int, window: int, tied: bool
) -> LlamaConfig:
    return LlamaConfig(
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        vocab_size=vocabulary,
        max_position_embeddings=window,
        tie_word_embeddings=tied,
    )


def settings(model: str, context_tokens: int | None = None) -> tuple[str, list[str]]:
    """The recipe and its overrides that extend a model with the paper's settings.

    Args:
        model: llama-7b to llama-65b, smollm2-135m, or a folder.
        context_tokens: L'; None is 8192, or the model's own window where that is longer.

    Raises:
        UsageError: no such model, or a context below its window. RunError: its config.json is broken.
    """
    size = model.removeprefix("llama-")
    known = size in LLAMA
    window = read_extension(_named(LLAMA[size] if known else model)).context_tokens
    context = context_tokens or max(_PAPER_CONTEXTS[0], window)
    if context < window:
        raise UsageError(f"context: {context} is shorter than the {window} tokens that {model} has")
    named = next((length for length in _PAPER_CONTEXTS if length >= context), _PAPER_CONTEXTS[-1])
    changes = [] if known else [f"model={model}", f"window_tokens={window}"]
    if changes or named != context:
        changes.append(f"factor={context / window!r}")
    if context == window:
        changes.append("method=none")
    return f"llama_{size if known else '7b'}_{named}_pi", changes


def _adapters(shape: Shape, lora: Lora | None) -> dict[str, Any]:
    """Of one layer: the weights that adapters have in all, and the numbers a token that they take and give."""
    hidden, intermediate = shape.hidden, shape.intermediate
    sizes = {
        "q_proj": (hidden, shape.queries),
        "k_proj": (hidden, shape.keys),
        "v_proj": (hidden, shape.keys),
        "o_proj": (shape.queries, hidden),
        "gate_proj": (hidden, intermediate),
        "up_proj": (hidden, intermediate),
        "down_proj": (intermediate, hidden),
    }
    adapted = list(dict.fromkeys(lora.targets)) if lora else []
    takes, gives = (sum(sizes[target][side] for target in adapted) for side in (0, 1))
    rank = lora.rank if lora else 0
    return {
        "adapted": adapted,
        "adapters": len(adapted),
        "rank": rank,
        "dropout": lora.dropout if lora else 0.0,
        "adapter_inputs": takes,
        "adapter_outputs": gives,
        "layer_adapters": rank * (takes + gives),
    }


@dataclass(frozen=True)
class Plan:
    """What a run takes on so many GPUs."""

    config: Config
    gpu: Gpu
    gpus: int
    givens: dict[str, Any]
    quantities: dict[str, Quantity]

    def __getitem__(self, name: str) -> float:
        return self.quantities[name].value

    @property
    def fits(self) -> bool:
        """Whether each GPU has room for its share."""
        return self["peak"] <= self["room"]


def plan(
    config: Config, shape: Shape, gpu: Gpu, gpus: int, *, utilisation: float = UTILISATION, usable: float = USABLE
) -> Plan:
    """Evaluate the sheet.

    Args:
        config: the run, as it is.
        gpus: any number, also one that the global batch cannot be shared by.
        utilisation: share of the peak arithmetic that the run reaches.
        usable: share of a GPU's memory that tensors may take.

    Raises:
        UsageError: a share outside (0, 1], no GPU at all, or windows that ranks share, which the sheet does not know.
    """
    if config.context_parallel > 1:
        raise UsageError("context_parallel: plans know no windows that ranks share; plan with context_parallel=1")
    for name, share in (("utilisation", utilisation), ("usable", usable)):
        if not 0 < share <= 1:
            raise UsageError(f"{name}: must be above 0 and at most 1, got {share}")
    if gpus < 1:
        raise UsageError(f"gpus: must be at least 1, got {gpus}")
    values: dict[str, Any] = asdict(shape) | {
        "gpus": gpus,
        "micro_batch": config.micro_batch,
        "global_batch": config.global_batch,
        "sequence": config.training_tokens,
        "context": config.context_tokens,
        "steps": config.steps,
        "width": 2 if config.dtype == "bfloat16" else 4,
        "checkpointing": config.activation_checkpointing,
        "cuda": config.device == "cuda",
        **_adapters(shape, config.lora),
        "block": BLOCK_TOKENS[config.device],
        "memory": gpu.memory,
        "usable": usable,
        "peak_flops": gpu.bfloat16 if config.dtype == "bfloat16" else gpu.float32,
        "utilisation": utilisation,
        "link": gpu.node_link if gpus <= NODE_GPUS else gpu.cluster_link,
    }
    givens, quantities = dict(values), {}
    for (name, unit, formula, meaning), code in zip(_SHEET, _COMPILED, strict=True):
        values[name] = eval(code, {"__builtins__": {}, "max": max, "min": min}, values)
        quantities[name] = Quantity(name, values[name], unit, formula, meaning)
    return Plan(config, gpu, gpus, givens, quantities)


def fewest_gpus(config: Config, shape: Shape, gpu: Gpu, *, usable: float = USABLE) -> int | None:
    """The smallest number of GPUs on which a run fits, as its config is; None where no number is enough.

    Memory falls as GPUs are added, down to what one window and one layer take on every rank.
    """

    def fits(gpus: int) -> bool:
        return plan(config, shape, gpu, gpus, usable=usable).fits

    high = 1
    while not fits(high):
        if high > 2**20:
            return None
        high *= 2
    low = high // 2  # does not fit, or is 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def usable_counts(config: Config) -> list[int]:
    """Numbers of GPUs that can share the global batch evenly, in micro batches as they are."""
    share = config.global_batch // config.micro_batch
    return [number for number in range(1, share + 1) if config.global_batch % (number * config.micro_batch) == 0]


def leanest(config: Config, fixed: Collection[str] = ()) -> Config:
    """The same run, set to take least memory: one window a forward pass, layers recomputed; `fixed` fields stay."""
    free = {"micro_batch": 1, "activation_checkpointing": CHECKPOINTING[-1]}
    changes: dict[str, Any] = {name: value for name, value in free.items() if name not in fixed}
    return replace(config, **changes)


def advise(
    config: Config,
    shape: Shape,
    gpu: Gpu,
    gpus: int | None = None,
    *,
    fixed: Collection[str] = (),
    utilisation: float = UTILISATION,
    usable: float = USABLE,
) -> Plan:
    """The fastest of the plans that fit; of equally fast ones the recipe's micro batch, then the least recomputed.

    Args:
        config: the run; only micro_batch and activation_checkpointing are changed, which the result does not depend on.
        gpus: None is the fewest that fit and can share the global batch.
        fixed: fields to leave as they are.

    Returns:
        A plan. Where nothing fits, the one that needs least memory, whose `fits` is False.

    Raises:
        UsageError: the global batch cannot be shared by so many GPUs.
    """
    micro = [config.micro_batch] if "micro_batch" in fixed else usable_counts(replace(config, micro_batch=1))
    kept = [config.activation_checkpointing] if "activation_checkpointing" in fixed else list(CHECKPOINTING)
    if config.compile and "activation_checkpointing" not in fixed:
        kept.remove("selective")  # a config refuses the two together
    if gpus is not None and gpus < 1:
        raise UsageError(f"gpus: must be at least 1, got {gpus}")
    if gpus is None:
        lean = leanest(config, fixed)
        counts = usable_counts(lean)
        fewest = fewest_gpus(lean, shape, gpu, usable=usable)
        gpus = next((count for count in counts if fewest and count >= fewest), counts[-1] if counts else 1)
    plans = [
        plan(
            replace(config, micro_batch=size, activation_checkpointing=checkpointing),
            shape,
            gpu,
            gpus,
            utilisation=utilisation,
            usable=usable,
        )
        for checkpointing in kept
        for size in micro
        if config.global_batch % (gpus * size) == 0
    ]
    if not plans:
        config.accumulation(gpus)  # raises, with the reason
    fitting = [one for one in plans if one.fits]
    if not fitting:
        return min(plans, key=lambda one: one["peak"])

    def rank(one: Plan) -> tuple[float, bool, int, float]:
        # The sheet knows neither what small products cost nor what is between products: where its time says nothing,
        # micro batches stay as they are, and no more is recomputed than has to be.
        recomputed = CHECKPOINTING.index(one.config.activation_checkpointing)
        return one["step_time"], one.config.micro_batch != config.micro_batch, recomputed, one["peak"]

    return min(fitting, key=rank)


def paper_gpus(config: Config) -> int | None:
    """A100s that Chen et al. 2023 (Section 3.1) used for this extension; None where their tables have no such run."""
    size = next((size for size, model in LLAMA.items() if model == config.model), "")
    longest = _PAPER_LONGEST.get((size, config.method), 0)
    if config.lora is not None or config.context_tokens not in _PAPER_CONTEXTS or config.context_tokens > longest:
        return None
    return 32 if config.context_tokens == 8192 and size != "65b" else 128


def beside_paper(config: Config, shape: Shape, *, utilisation: float, usable: float) -> list[Plan]:
    """The run on what the paper used for it, A100s of either size, set as `advise` sets it; empty where it has no such.

    The paper does not say which of the two sizes it had.
    """
    gpus = paper_gpus(config)
    if gpus is None or config.global_batch % gpus:
        return []
    config = replace(config, micro_batch=1)
    return [
        advise(config, shape, gpu, gpus, utilisation=utilisation, usable=usable)
        for gpu in GPUS.values()
        if gpu.chip == "A100"
    ]


def report(planned: Plan, fewest: int | None, paper: Sequence[Plan]) -> dict[str, Any]:
    """A plan as JSON values.

    Args:
        fewest: of `fewest_gpus`, for the run at its leanest.
        paper: of `beside_paper`.
    """
    config = planned.config
    return {
        "model": config.model,
        "context_tokens": config.context_tokens,
        "sequence_tokens": config.training_tokens,
        "global_batch": config.global_batch,
        "dtype": config.dtype,
        "gpus": planned.gpus,
        "gpu": planned.gpu.name,
        "gpu_facts": asdict(planned.gpu),
        "fits": planned.fits,
        "fewest_gpus": fewest,
        "micro_batch": config.micro_batch,
        "accumulation": config.accumulation(planned.gpus),
        "activation_checkpointing": config.activation_checkpointing,
        "paper": [
            {
                "gpus": one.gpus,
                "gpu": one.gpu.name,
                "fits": one.fits,
                "peak": one["peak"],
                "room": one["room"],
                "run_time": one["run_time"],
                "gpu_hours": one["gpu_hours"],
            }
            for one in paper
        ],
        "givens": planned.givens,
        "quantities": {
            name: {"value": one.value, "unit": one.unit, "formula": one.formula, "meaning": one.meaning}
            for name, one in planned.quantities.items()
        },
    }


def table(content: dict[str, Any], *, explain: bool) -> str:
    """A report for people; with `explain`, the formula under each number."""
    lines = [
        f"{content['model'] or 'a new model'}, {content['sequence_tokens']} tokens, {content['global_batch']} windows "
        f"a step, on {content['gpus']} x {content['gpu']}: micro_batch {content['micro_batch']}, "
        f"{content['accumulation']} a step, activation checkpointing: {content['activation_checkpointing']}"
    ]
    for name, one in content["quantities"].items():
        value, unit = _readable(one["value"], one["unit"])
        lines.append(f"{name:>26} {value:>12} {unit:5} {one['meaning']}")
        if explain:
            lines.append(f"{'':>26} = {one['formula']}")
    if explain:
        lines += [f"{name:>26} {value!s:>12}" for name, value in content["givens"].items()]
        lines.append(f"peak_flops, memory and link: {content['gpu_facts']['source']}; utilisation and usable: assumed")
    fewest = content["fewest_gpus"]
    lines.append(
        f"fits: {'yes' if content['fits'] else 'no'}; fewest GPUs with room, at the leanest: {fewest or 'none'}"
    )
    lines += [
        f"the paper used {one['gpus']} A100; planned on {one['gpu']}: {one['peak'] / 2**30:.1f} GiB each of "
        f"{one['room'] / 2**30:.1f}, {one['run_time']:.1f} h, {one['gpu_hours']:.0f} GPU-hours"
        for one in content["paper"]
    ]
    return "\n".join(lines)


def _readable(value: float, unit: str) -> tuple[str, str]:
    if unit == "bytes":
        return f"{value / 2**30:,.3f}", "GiB"
    if unit == "FLOP":
        return f"{value / 1e15:,.3f}", "PFLOP"
    return (f"{value:,.0f}" if value == int(value) else f"{value:,.3f}"), unit


def shortfall(planned: Plan, fewest: int | None) -> str:
    """Why a run does not fit, and what would help."""
    need, room = planned["peak"] / 2**30, planned["room"] / 2**30
    remedy = "no number of them has: a shorter sequence or a larger GPU is needed"
    if fewest:
        most = planned.config.global_batch // planned.config.micro_batch
        remedy = f"{fewest} would have it" + (f", but the batch can be shared by {most} at most" * (fewest > most))
    return f"does not fit: {need:.1f} GiB on each of {planned.gpus} GPUs that have room for {room:.1f}; {remedy}"
