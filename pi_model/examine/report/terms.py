"""How each number of a report was got, and what its words mean: the last section, which every number links to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A word or a way of knowing.

    Attributes:
        id: what links name it by.
        title: the word.
        means: what it is, and how its number is got, in plain sentences.
    """

    id: str
    title: str
    means: str


WAYS = (
    Term("proved", "proved", "Follows from the configuration alone by a theorem that is proved in pi_theory; it holds "
         "whatever the weights are, and no weight was read for it."),
    Term("heads", "from the heads", "Computed from the queries and keys of this checkpoint's own attention heads, in "
         "one short pass over a text; from there to a loss is a prediction, which a measurement can overrule."),
    Term("measured", "measured", "The checkpoint read the texts, once by each method, and its losses were counted; "
         "other texts would give somewhat other numbers."),
    Term("planned", "planned", "Added up by formulas for the memory and the arithmetic of training, and from the "
         "published speed of the GPU; nothing was run. pi-model plan prints every formula."),
    Term("unknown", "not known", "Nothing that was computed or measured here tells it; more minutes, or another "
         "text, may."),
)  # fmt: skip

TERMS = (
    Term("config", "from the files", "Read from the checkpoint's configuration and tokenizer files, or counted from "
         "the shapes that they give."),
    Term("window", "trained window", "How many tokens the model saw at once in training; at larger distances its "
         "attention meets what it never learned."),
    Term("context", "target", "How many tokens the model is to read at once; it was asked for by --context."),
    Term("reach", "reach", "Up to how many tokens a method keeps every slow frequency of the position embedding at "
         "angles that training has shown; beyond it some head meets angles that are new to it."),
    Term("resolution", "resolution", "How sharply a head can still tell a token from its neighbours after the method, "
         "as a share of what it could before: first for a head on the fastest frequency, then for one that uses all "
         "frequencies alike."),
    Term("bend", "bends kept", "The bend of a head is how far its score for the right token stands above its score "
         "for the tokens beside it; shown is the share that the method leaves, the median over this checkpoint's "
         "heads."),
    Term("sharp", "sharp head", "A head whose bend is half a nat or more on average: it tells a token from its "
         "neighbours, and loses the most where a method squeezes positions together."),
    Term("displacement", "displacement", "How far the method moves attention from the one that training made, to "
         "the last window of tokens: the squared change of the attention to each token, added up over tokens and "
         "heads. It is in proportion to what that changes in what heads pass on. Less is better."),
    Term("predicted", "loss added", "The loss in nats per token that the displacement makes probable at the target, "
         "above that of the untouched model with recent tokens alone. The rule is fitted to measurements of two small "
         "models, and the range in brackets, a factor of five both ways, held 14 of 16 others. For another kind of "
         "model it is a guess."),
    Term("loss", "loss and perplexity", "The loss is how surprised the model is by the next token, in nats; "
         "perplexity is its exponential. Inside means positions within the window that the checkpoint serves today, "
         "whole means the whole target, last means its last eighth. Each document is read in one pass."),
    Term("difference", "difference and its error", "Losses are subtracted document by document, because both methods "
         "read the same ones, and then averaged; ± is one standard error over documents, and needs two of them. The "
         "difference in per cent is that of perplexity."),
    Term("passkey", "passkey and k", "A number is hidden in filler text k tokens before the question, and the model "
         "is asked for it; the share is how often it answers right. k_max is the largest k such that it succeeds at "
         "least one time in five there and at every smaller k tried."),
    Term("theorem", "Theorem 2.1", "The bound of Chen et al. 2023 (arXiv:2306.15595) on how far an attention score "
         "between two neighbouring trained positions can lie from what they give; the number is how far it does for "
         "the worst head, over that bound: a sum of d/2 terms, by a formula that is proved in pi_theory."),
    Term("cost", "cost of fine-tuning", "The planner's memory, time and number of GPUs for the recipe that is named; "
         "it can be off where a model reaches less of a GPU's speed than assumed."),
    Term("minutes", "minutes", "The time that the measurements took on the device named, all sittings together."),
)  # fmt: skip
