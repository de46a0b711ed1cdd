"""What an examination finds, as frozen values that the summary, the report and the JSON answer are written from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Oddity:
    """Something about a checkpoint that is not as in a plain LLaMA.

    Attributes:
        what: the oddity.
        means: what it means for a longer window.
    """

    what: str
    means: str


@dataclass(frozen=True)
class Identity:
    """What a checkpoint is, read from its files without any weight.

    Attributes:
        model: what the caller named.
        family: model_type.
        parameters: number of weights; a tied head counts once.
        dtype: number format of its weights.
        layers, heads, kv_heads: of its attention.
        head_dim: d, the size of a head.
        base: c, the RoPE base in training.
        vocabulary: number of embeddings.
        method: how positions are scaled already, a name of `pi_theory.scaling.METHODS`; "none" without scaling.
        factor: of that scaling; 1 without it.
        window_tokens: L, the trained window.
        window_from: the field that L was read from, and what confirms it.
        context_tokens: the window that it serves today.
        tokenizer: the class of its tokenizer, with the size of its vocabulary.
        bos: the token that begins every text, or None.
        oddities: see `Oddity`.
    """

    model: str
    family: str
    parameters: int
    dtype: str
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    base: float
    vocabulary: int
    method: str
    factor: float
    window_tokens: int
    window_from: str
    context_tokens: int
    tokenizer: str
    bos: str | None
    oddities: tuple[Oddity, ...]


@dataclass(frozen=True)
class Theorem:
    """What is proved for every head of the checkpoint's size and base, whatever its weights.

    Attributes:
        published_holds: whether Theorem 2.1 of Chen et al. 2023 is true at this d and c.
        published_margin: F(d, c), by which the published bound is exceeded at worst; the theorem holds if it is <= 1.
        between_trained: sec(1/2): no score between trained positions exceeds the trained ones by more, far from the
            window's ends.
        needless_extrapolation: how many of the largest distances published Position Interpolation asks for beyond the
            trained ones; a factor of (L'-1)/(L-1) would ask for none.
    """

    published_holds: bool
    published_margin: float
    between_trained: float
    needless_extrapolation: float


@dataclass(frozen=True)
class Sharpness:
    """What the heads say about how sharply they point.

    Attributes:
        sharp_heads: heads whose mean bend is at least half a nat: they tell a token from its neighbours.
        heads: all heads.
        sharpest: the largest mean bend of a head, in nats, with its layer and number.
        sharpest_layer, sharpest_head: where it is.
    """

    sharp_heads: int
    heads: int
    sharpest: float
    sharpest_layer: int
    sharpest_head: int


@dataclass(frozen=True)
class Stretch:
    """The mean loss between two positions of a text.

    Attributes:
        start, end: positions in tokens, from start up to but not including end.
        loss_nats: the mean loss of a token there.
    """

    start: int
    end: int
    loss_nats: float


@dataclass(frozen=True)
class Measured:
    """The loss of one method on the same documents as every other, each read in one pass.

    Attributes:
        documents: how many were read.
        whole: mean loss of a token in nats over the whole context, one for each document.
        inside: over the window that the checkpoint serves today alone, one for each document.
        last: over the last eighth of the context, one for each document.
        curve: the loss by position, over all documents.
    """

    documents: int
    whole: tuple[float, ...]
    inside: tuple[float, ...]
    last: tuple[float, ...]
    curve: tuple[Stretch, ...]

    @property
    def loss_nats(self) -> float:
        """The mean loss of a token over the whole context."""
        return sum(self.whole) / len(self.whole)


@dataclass(frozen=True)
class PredictedLoss:
    """How much more a token costs by a method at the context than the untouched model with recent context alone.

    Attributes:
        above_nats: the loss that is added, in nats per token.
        low, high: a factor of five less and more, which held 14 of 16 measurements.
    """

    above_nats: float
    low: float
    high: float


@dataclass(frozen=True)
class Method:
    """A way to the context that was asked for, with all that is known of it.

    Attributes:
        method: a name of `pi_theory.scaling.METHODS`; "none" leaves the checkpoint as it is.
        factor: its factor over the trained window.
        reach_tokens: up to how many tokens no slow pair leaves its trained arc; None if there is no limit.
        resolution: what it leaves of the bend of a head on the fastest frequency, as a ratio.
        flat_resolution: the same for a head that uses all frequencies alike.
        displacement: how far it moves attention at the context asked for: the sum over keys of the squared change,
            from trained attention to the last L keys, over all heads; None before heads were looked at.
        bend: what it leaves of the bends of the checkpoint's own heads, the median ratio; None before.
        predicted: what that displacement will cost, see `pi_model.examine.prediction`; None before.
        measured: its losses; None if they were not measured yet.
        passkeys: share of passkeys found, by distance in tokens; None if they were not asked for.
    """

    method: str
    factor: float
    reach_tokens: int | None
    resolution: float
    flat_resolution: float
    displacement: float | None = None
    bend: float | None = None
    predicted: PredictedLoss | None = None
    measured: Measured | None = None
    passkeys: dict[int, float] | None = None


@dataclass(frozen=True)
class Reason:
    """A sentence of the recommendation.

    Attributes:
        text: the sentence.
        evidence: how it is known: "proved", "from the heads", "measured", or "not known".
    """

    text: str
    evidence: str


@dataclass(frozen=True)
class Recommendation:
    """What to do.

    Attributes:
        method: the method to extend by, "none" if the checkpoint reads the context as it is, or None if it cannot be
            told.
        fine_tune: whether fine-tuning is worth it; None if it cannot be told.
        reasons: why, sentence by sentence.
        commands: what to type.
    """

    method: str | None
    fine_tune: bool | None
    reasons: tuple[Reason, ...]
    commands: tuple[str, ...]


@dataclass(frozen=True)
class Cost:
    """What fine-tuning to the context would take, by the planner.

    Attributes:
        gpu: kind of GPU.
        gpus: how many.
        hours: of the whole run.
        peak_gib: memory on each GPU.
        fits: whether it has room.
        run: the run in words.
    """

    gpu: str
    gpus: int
    hours: float
    peak_gib: float
    fits: bool
    run: str


@dataclass(frozen=True)
class Examination:
    """Everything that was found.

    Attributes:
        identity: what the checkpoint is.
        context_tokens: L', the window that was asked for.
        theorem: what is proved for its heads.
        sharpness: what its heads say; None if only the config was looked at.
        methods: the ways to that window, the checkpoint as it is first.
        data: what the texts for the measurement were; empty if only the config was looked at.
        device: what it ran on, with the number format and the versions of torch and transformers; empty likewise.
        minutes: how long the measurements took, all sittings together.
        complete: whether everything that was to be measured was.
        recommendation: what to do.
        cost: what fine-tuning would take; None if it cannot be planned.
    """

    identity: Identity
    context_tokens: int
    theorem: Theorem
    sharpness: Sharpness | None
    methods: tuple[Method, ...]
    data: str
    device: str
    minutes: float
    complete: bool
    recommendation: Recommendation
    cost: Cost | None

    def named(self, method: str) -> Method:
        """The findings on a method."""
        return next(one for one in self.methods if one.method == method)
