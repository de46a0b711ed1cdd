"""What a checkpoint's own heads say, from one short forward pass: how sharply they point, and how far a way moves them.

Queries and keys are taken before rotation, where they depend on content alone. A row of attention over the whole
context is put together from them: the query reads keys at all distances, those of the text in their own order, again
and again. Distances near the query are taken one by one; farther ones stand for all around them, with their number as
weight. So the cost does not grow with the context.

Shape suffixes: N layers, T tokens, H query heads, J frequencies, M queries, S distances.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float, Integer

from pi_model.examine.certainty import Way
from pi_model.examine.findings import Sharpness
from pi_model.models.families import CausalLM, family_of
from pi_theory.displacement import Change, change
from pi_theory.rope import as_complex, exp_i

TOKENS = 512  # of the text that is read
_QUERIES = 8
_SINGLE = 128  # distances that are taken one by one
_GROWTH = 1.03  # of the farther ones
_SHARP = 0.5  # nats
_PLACES = 4  # of the context, at which displacement is taken besides its end


@dataclass(frozen=True)
class Look:
    """What heads say of each way, by its name.

    Attributes:
        sharpness: how sharply they point today.
        displacement: how far the way moves attention at the end of the context: the squared change, added up over
            heads.
        along: the same in the middle of each quarter of the context.
        bend: the median over heads of the bend after over the bend before.
    """

    sharpness: Sharpness
    displacement: Mapping[str, float]
    along: Mapping[str, Sequence[float]]
    bend: Mapping[str, float]


@torch.inference_mode()
def queries_and_keys(
    model: CausalLM, ids_T: Integer[np.ndarray, " T"]
) -> tuple[Complex[np.ndarray, "N H T J"], Complex[np.ndarray, "N H T J"]]:
    """Every head's unrotated queries, and the keys it reads, of one document in one forward pass.

    Components j and j + d/2 of a head are one complex number (rotate-half), as in Hugging Face transformers.
    """
    q, k = ("q_norm", "k_norm") if family_of(model.config).qk_norm else ("q_proj", "k_proj")
    taken: dict[str, list[np.ndarray]] = {q: [], k: []}
    hooks = [
        getattr(layer.self_attn, name).register_forward_hook(
            lambda module, inputs, output, kept=kept: kept.append(output[0].float().cpu().numpy())
        )
        for layer in model.model.layers
        for name, kept in taken.items()
    ]
    try:
        model.model(input_ids=torch.from_numpy(ids_T.astype(np.int64))[None].to(model.device), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    d = int(model.model.layers[0].self_attn.head_dim)

    def split(flat_NTX: list[np.ndarray]) -> np.ndarray:
        each_NTGD = np.stack(flat_NTX).reshape(len(flat_NTX), len(ids_T), -1, d)
        return as_complex(each_NTGD, "half").swapaxes(1, 2)

    q_NHTJ, k_NGTJ = split(taken[q]), split(taken[k])
    return q_NHTJ, np.repeat(k_NGTJ, q_NHTJ.shape[1] // k_NGTJ.shape[1], axis=1)


def look(model: CausalLM, ids_T: Integer[np.ndarray, " T"], ways: Sequence[Way], context_tokens: int) -> Look:
    """Read a short text and compare what each way does to the heads.

    Args:
        model: as it is today.
        ids_T: a text of at most a window, with BOS if the model's texts begin with it.
        ways: the ways, the checkpoint as it is first.
        context_tokens: L', the window that was asked for.
    """
    now = ways[0].extension
    kind = {"head_dim": now.head_dim, "base": now.base, "window": now.window_tokens}

    def changes_at(tokens: int) -> dict[str, Change]:
        return {way.name: change(way.extension.scaling, context=tokens, **kind) for way in ways}  # type: ignore[arg-type]

    changes = changes_at(context_tokens)
    q_NHTJ, k_NHTJ = queries_and_keys(model, ids_T[:TOKENS])
    m_M = np.linspace(q_NHTJ.shape[2] // 2, q_NHTJ.shape[2] - 1, _QUERIES).astype(int)
    bends = {name: _bends(q_NHTJ, k_NHTJ, m_M, changes["none"], how) for name, how in changes.items()}
    sharpest_N, sharpest_H = np.unravel_index(int(bends["none"].argmax()), bends["none"].shape)
    sharpness = Sharpness(
        sharp_heads=int((bends["none"] >= _SHARP).sum()),
        heads=bends["none"].size,
        sharpest=float(bends["none"].max()),
        sharpest_layer=int(sharpest_N),
        sharpest_head=int(sharpest_H),
    )
    kept = {name: float(np.median(bend / bends["none"])) for name, bend in bends.items()}
    places = [max(1, context_tokens * (2 * place + 1) // (2 * _PLACES)) for place in range(_PLACES)]
    there = [_displaced(q_NHTJ, k_NHTJ, m_M, changes_at(tokens), tokens) for tokens in places]
    return Look(
        sharpness,
        displacement=_displaced(q_NHTJ, k_NHTJ, m_M, changes, context_tokens),
        along={name: [one[name] for one in there] for name in changes},
        bend=kept,
    )


def _bends(
    q_NHTJ: Complex[np.ndarray, "N H T J"],
    k_NHTJ: Complex[np.ndarray, "N H T J"],
    m_M: Integer[np.ndarray, " M"],
    today: Change,
    how: Change,
) -> Float[np.ndarray, "N H"]:
    """The mean size of each head's bend in logits, over the keys before a query, by the attention paid today."""
    n_T = np.arange(q_NHTJ.shape[2], dtype=float)
    root = np.sqrt(2 * today.theta.size)
    versine_J = how.score_factor * 2 * np.sin(how.scaled / 2) ** 2
    out = []
    for q_HTJ, k_HTJ in zip(q_NHTJ, k_NHTJ, strict=True):

        def scores(
            theta: np.ndarray, weight: np.ndarray | float, q_HTJ: np.ndarray = q_HTJ, k_HTJ: np.ndarray = k_HTJ
        ) -> np.ndarray:
            turned_TJ = exp_i(np.multiply.outer(n_T, theta))
            q_HMJ = q_HTJ[:, m_M] * turned_TJ[m_M] * weight
            return np.asarray((q_HMJ @ (k_HTJ * turned_TJ).conj().swapaxes(1, 2)).real / root)

        logits_HMT = np.where(n_T < m_M[:, None], today.score_factor * scores(today.scaled, 1.0), -np.inf)
        p_HMT = _attention(logits_HMT, np.ones_like(n_T))
        out.append((p_HMT * np.abs(scores(how.scaled, versine_J))).sum(-1).mean(-1))
    return np.stack(out)


def _displaced(
    q_NHTJ: Complex[np.ndarray, "N H T J"],
    k_NHTJ: Complex[np.ndarray, "N H T J"],
    m_M: Integer[np.ndarray, " M"],
    changes: Mapping[str, Change],
    context_tokens: int,
) -> dict[str, float]:
    """The squared change of attention under each change, from trained attention to the last L keys, over all heads.

    It is proportional to the expected squared change of what heads pass on, if the values of keys are uncorrelated.
    Among settings of the tiny LLaMA it ranks better than the divergence does (the study tiny_choice).
    """
    s_S, weight_S = _distances(context_tokens)
    n_MS = (m_M[:, None] - s_S) % q_NHTJ.shape[2]
    found = dict.fromkeys(changes, 0.0)
    for q_HTJ, k_HTJ in zip(q_NHTJ, k_NHTJ, strict=True):
        h_HMSJ = q_HTJ[:, m_M, None] * k_HTJ[:, n_MS].conj()
        for name, how in changes.items():
            before_HMS, after_HMS = how.logits(h_HMSJ, s_S)
            p_HMS = _attention(np.where(s_S < how.window, before_HMS, -np.inf), weight_S)
            squared_HMS = (_attention(after_HMS, weight_S) - p_HMS) ** 2 / weight_S
            found[name] += float(squared_HMS.sum(-1).mean(-1).sum())
    return found


def _attention(logits_HMS: Float[np.ndarray, "H M S"], weight_S: Float[np.ndarray, " S"]) -> Float[np.ndarray, "H M S"]:
    """The softmax over keys, of which each stands for as many as its weight says."""
    p_HMS = weight_S * np.exp(logits_HMS - logits_HMS.max(axis=-1, keepdims=True))
    return np.asarray(p_HMS / p_HMS.sum(axis=-1, keepdims=True))


def _distances(context_tokens: int) -> tuple[Integer[np.ndarray, " S"], Float[np.ndarray, " S"]]:
    """Distances below the context, and how many distances each stands for."""
    edges = [*range(min(_SINGLE, context_tokens) + 1)]
    while edges[-1] < context_tokens:
        edges.append(min(context_tokens, max(edges[-1] + 1, int(edges[-1] * _GROWTH))))
    starts, ends = np.array(edges[:-1]), np.array(edges[1:])
    return (starts + ends - 1) // 2, (ends - starts).astype(float)
