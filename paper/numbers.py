"""Every number in the report's prose: its macro, its record, the place in the record, and how it is shown.

A place is a path of keys and list indices with slashes between them. ``name=ntk`` picks the elements of a list whose
``name`` is ntk; a single one is taken out of its list. A key applied to a list is applied to each of its elements, and
``min()``, ``max()`` and ``count()`` reduce a list to one value. Bounds are rounded outwards: ``down`` for a lower
bound, ``up`` for an upper one.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Number:
    """One number in the prose, and where it comes from."""

    macro: str  # letters only, because TeX allows no others
    study: str  # the study whose record holds it
    path: str  # the place in the record
    show: str  # "5 near", "5 down", "5 up": decimals, rounding; "3 scientific", "millions", "integer", "power", "text"
    find: str = ""  # where the path leads to a sentence: a regular expression whose group is the number


@dataclass(frozen=True)
class Decision:
    """What decided a case of a statement, a number with its interval, and which statement that is."""

    macro: str
    experiment: str
    states: str  # how the statement begins
    of: str  # which case, as in "books"
    factor: int | None  # None where the statement is not about an extension


LLAMA = "metrics/models/name=LLaMA 1 and 2"
SHORT, LONG = "metrics/ranges/0", "metrics/ranges/1"
WORST = "metrics/worst_first/treatment=clamp&order=excess"
LARGEST = "metrics/worst_first/treatment=clamp&order=amplification"
FITS, EXACT = "metrics/fits", "metrics/exact"
RECOVERED = "metrics/runs/0/curve/-1"
SPARED_TINY = "metrics/interpolated/corpus=books&factor=4"
SPARED_SMOL = "metrics/interpolated/corpus=books&factor=2"
UNTUNED, AT_EXTENDED = "metrics/zero_shot", "perplexity/books/16384/perplexity"


def _evidence(claim_id: str) -> str:
    return f"metrics/claims/id={claim_id}/evidence"


def _end(method: str) -> str:
    """The path to the last measurement of a run of SmolLM2."""
    return f"metrics/runs/method={method}/curve/-1"


# The peak rate of the rows that the tables of fine-tuning show, and another one that was tried.
BEST_RATE, OTHER_RATE = 0.0001, 0.0003


def _run(method: str, factor: int, rate: float = BEST_RATE) -> str:
    """The evaluations of a run by rising step, of the first seed."""
    return f"metrics/runs/method={method}&factor={factor}&seed=0&peak_lr={rate}/curve"


def _state(number: int) -> str:
    """The perplexity of a state of the pretraining, not extended."""
    return f"metrics/models/{number}/base/perplexity/books"


def _method(method: str, when: str) -> str:
    """The perplexity at the extended window, before fine-tuning ("zero_shot") or after it ("fine_tuned")."""
    return f"metrics/methods/{method}/{when}/perplexity/books/1024/perplexity"


def _kept(method: str, factor: int) -> str:
    """What a method leaves of the heads' bends."""
    return f"metrics/methods/method={method}&factor={factor}"


def _rouge(model: str) -> str:
    return f"metrics/cases/model={model}/rouge/rouge1"


NUMBERS = (
    # the model whose constants the published paper uses
    Number("HeadDim", "envelope", "config/head_dim", "integer"),
    Number("Base", "envelope", "config/base", "power"),
    # Theorem 2.1 and its repairs, at the midpoint of a unit interval
    Number("PublishedMidpoint", "landscape", f"{LLAMA}/published", "5 near"),
    Number("SharpMidpoint", "landscape", f"{LLAMA}/sharp", "5 near"),
    Number("TaylorMidpoint", "landscape", f"{LLAMA}/taylor", "5 near"),
    Number("MarginLlama", "landscape", f"{LLAMA}/margin", "3 near"),
    Number("MarginLargest", "landscape", "metrics/models/margin/max()", "3 near"),
    Number("LeastHeadDim", "landscape", f"{LLAMA}/smallest_valid_head_dim", "integer"),
    Number("LeastHeadDimLlamaThree", "landscape", "metrics/models/name=Llama 3/smallest_valid_head_dim", "integer"),
    Number("RegionBase", "landscape", "metrics/boundary/-1/base", "2 scientific"),
    Number("RegionHeadDim", "landscape", "metrics/boundary/-1/smallest_valid_head_dim", "integer"),
    # B(s)
    Number("ShortRange", "envelope", f"{SHORT}/upto", "integer"),
    Number("LongRange", "envelope", f"{LONG}/upto", "integer"),
    Number("ShortMinimum", "envelope", f"{SHORT}/minimum/value/lower", "5 down"),
    Number("ShortMinimumAt", "envelope", f"{SHORT}/minimum/argmin", "2 near"),
    Number("LongMinimumLower", "envelope", f"{LONG}/minimum/value/lower", "5 down"),
    Number("LongMinimumUpper", "envelope", f"{LONG}/minimum/value/upper", "5 up"),
    Number("LongMinimumAt", "envelope", f"{LONG}/minimum/argmin", "2 near"),
    Number("Crossing", "envelope", f"{LONG}/first_below/lower", "6 near"),
    Number("FirstIntegerBelow", "envelope", f"{LONG}/integers/first_below", "integer"),
    Number("IntegerMinimum", "envelope", f"{LONG}/integers/minimum/upper", "4 up"),
    Number("IntegerMinimumAt", "envelope", f"{LONG}/integers/argmin", "integer"),
    Number("HalfDUpto", "claims", _evidence("half_d"), "text", r"true on \[0, (\d+)\]"),
    Number("HalfDMinimum", "claims", _evidence("half_d"), "text", r"minimum is ([\d.]+) d"),
    Number("HalfDAt", "claims", _evidence("half_d"), "text", r"B\((\d+)\)"),
    Number("HalfDValue", "claims", _evidence("half_d"), "text", r"= ([\d.]+) d;"),
    Number("LeastBound", "claims", "metrics/claims/id=least_b/says", "text", r"at most ([\d.]+) d"),
    Number("LeastSlow", "claims", _evidence("least_b"), "text", r"the (\d+) slowest"),
    Number("QuarterBase", "claims", "metrics/claims/id=least_b.quarter/domain", "text", r"c = (\d+)"),
    Number("QuarterAt", "claims", _evidence("least_b.quarter"), "text", r"B\((\d+)\)"),
    Number("QuarterValue", "claims", _evidence("least_b.quarter"), "text", r"= ([\d.]+) d"),
    # claims of others
    Number("TurnsWindow", "claims", "metrics/claims/id=peng2023.turns/domain", "text", r"L = (\d+), llama3"),
    Number("TurnsFactor", "claims", "metrics/claims/id=peng2023.turns/domain", "text", r"llama3 by (\d+)"),
    Number("TurnsOne", "claims", _evidence("peng2023.threshold"), "text", r"(\d+) tokens \(threshold 1\.0\)"),
    Number("TurnsHalf", "claims", _evidence("peng2023.threshold"), "text", r"(\d+) tokens \(threshold 0\.5\)"),
    Number("TurnsThreshold", "claims", _evidence("peng2023.threshold"), "text", r"threshold (0\.5)"),
    Number("NtkFactor", "claims", _evidence("bloc97.promise"), "text", r"factor (\d+)"),
    Number("NtkReach", "claims", _evidence("bloc97.promise"), "text", r"reads (\d+) tokens"),
    Number("NtkWindow", "claims", "metrics/claims/id=bloc97.promise/domain", "text", r"L = (\d+)"),
    Number("XiongBase", "claims", "metrics/claims/id=xiong2023.granularity/says", "text", r"to (\d+) than"),
    Number("XiongFactor", "claims", "metrics/claims/id=xiong2023.granularity/says", "text", r"interpolation by (\d+)"),
    Number("XiongChanged", "claims", _evidence("xiong2023.granularity"), "text", r"base leaves ([\d.]+)"),
    Number("XiongLinear", "claims", _evidence("xiong2023.granularity"), "text", r"interpolation ([\d.]+)"),
    Number("XiongSlow", "claims", _evidence("xiong2023.every_vector"), "text", r"the (\d+) others"),
    Number("MenLlama", "claims", _evidence("men2024.windows"), "text", r"(\d+) \(LLaMA 1\)"),
    Number("MenSmol", "claims", _evidence("men2024.windows"), "text", r"(\d+) \(SmolLM2"),
    Number("MenWindowOne", "claims", "metrics/claims/id=men2024.windows/domain", "text", r"LLaMA 1 \(.*?, L = (\d+)\)"),
    Number("MenWindowTwo", "claims", "metrics/claims/id=men2024.windows/domain", "text", r"LLaMA 2 \(.*?, L = (\d+)\)"),
    Number("MenBaseSmall", "claims", _evidence("men2024.larger_base"), "text", r"for c = (\d+) and"),
    Number("MenBaseLarge", "claims", _evidence("men2024.larger_base"), "text", r"for c = (\d+), so"),
    Number("MenZeroSmall", "claims", _evidence("men2024.larger_base"), "text", r"is at (\d+)"),
    Number("MenZeroLarge", "claims", _evidence("men2024.larger_base"), "text", r"and at (\d+)"),
    Number("MenFactor", "claims", _evidence("men2024.reach"), "text", r"factor (\d+)"),
    Number("MenNtk", "claims", _evidence("men2024.reach"), "text", r"(\d+) against \d+ \(ntk\)"),
    Number("MenYarn", "claims", _evidence("men2024.reach"), "text", r"(\d+) against \d+ \(yarn\)"),
    Number("ReachNtk", "claims", _evidence("men2024.reach"), "text", r"against (\d+) \(ntk\)"),
    Number("ReachYarn", "claims", _evidence("men2024.reach"), "text", r"against (\d+) \(yarn\)"),
    # the comparison of the two bounds
    Number("RatioPublished", "claims", _evidence("chen2023.600x"), "text", r"at least ([\d.]+) times"),
    Number("RatioSharp", "claims", _evidence("chen2023.600x.repaired"), "text", r"([\d.]+) times"),
    Number("RatioLong", "claims", _evidence("chen2023.600x.beyond"), "text", r"([\d.]+) times"),
    Number("RatioSuprema", "claims", _evidence("chen2023.600x.suprema"), "text", r"ratio is ([\d.]+)"),
    # the least-squares figure
    Number("FitWindow", "least_squares", "config/window", "integer"),
    Number("FitSeeds", "least_squares", "config/seeds/count()", "integer"),
    Number("FitLast", "least_squares", f"{EXACT}/positions/-1", "integer"),
    Number("FitExact", "least_squares", f"{EXACT}/last_enclosure/0", "4 scientific"),
    Number("FitExactBits", "least_squares", f"{EXACT}/bits", "integer"),
    Number("FitExactInside", "least_squares", f"{EXACT}/max_inside", "2 near"),
    Number("FitDeviation", "least_squares", f"{EXACT}/standard_deviations/-1", "3 scientific"),
    Number("FitMiss", "claims", _evidence("chen2023.fig2.almost_every"), "0 scientific", r"below (\S+)"),
    Number("FitSingleLeast", "least_squares", f"{FITS}/name=float32 normal equations/max_beyond/min()", "0 near"),
    Number("FitSingleMost", "least_squares", f"{FITS}/name=float32 normal equations/max_beyond/max()", "0 near"),
    Number("FitDoubleLeast", "least_squares", f"{FITS}/name=float64 normal equations/max_beyond/min()", "0 scientific"),
    Number("FitDoubleMost", "least_squares", f"{FITS}/name=float64 normal equations/max_beyond/max()", "0 scientific"),
    Number("FitSvdLeast", "least_squares", f"{FITS}/name=float64 SVD/max_beyond/min()", "0 scientific"),
    Number("FitSvdMost", "least_squares", f"{FITS}/name=float64 SVD/max_beyond/max()", "0 scientific"),
    Number("RidgePenalty", "least_squares", "config/ridges/max()", "0 near"),
    Number("RidgeMost", "least_squares", f"{FITS}/name=ridge 1/max_beyond/max()", "1 near"),
    Number("RidgeBound", "least_squares", f"{FITS}/name=ridge 1/ridge_bound/max()", "0 up"),
    # worst heads
    Number("StabilityConstant", "amplification", "metrics/stability_constant", "4 near"),
    Number("WorstHeadDim", "amplification", "config/head_dim", "integer"),
    Number("WorstBase", "amplification", "config/base", "power"),
    Number("WorstWindow", "amplification", "config/window", "integer"),
    Number("WorstFactor", "amplification", "config/factor", "0 near"),
    Number("WorstBoxLeast", "amplification", "config/hmax/min()", "0 near"),
    Number("WorstBoxMost", "amplification", "config/hmax/max()", "0 near"),
    Number("WorstWhole", "amplification", "metrics/curves/method=whole/upper_bound/max()", "4 up"),
    Number("WorstLinear", "amplification", "metrics/curves/method=linear&hmax=1.0/attained/max()", "3 down"),
    Number("WorstLinearMost", "amplification", "metrics/curves/method=linear/attained/max()", "2 down"),
    Number("PublishedEight", "claims", _evidence("pi.worst"), "text", r"and ([\d.]+) with factor"),
    Number("PublishedFactor", "claims", _evidence("pi.worst"), "text", r"with factor (\d+)"),
    Number("PublishedLarge", "claims", _evidence("pi.worst"), "text", r"these are ([\d.]+)"),
    Number("PublishedLargeEight", "claims", _evidence("pi.worst"), "text", r"these are [\d.]+ and ([\d.]+)"),
    Number("WholeAttained", "claims", _evidence("pi.whole"), "text", r"exceeds ([\d.]+) at"),
    Number("WorstNone", "amplification", "metrics/curves/method=none&hmax=1.0/attained/max()", "1 down"),
    Number("WorstNoneMost", "amplification", "metrics/curves/method=none/attained/max()", "0 down"),
    Number("WorstNtk", "amplification", "metrics/curves/method=ntk&hmax=1.0/attained/max()", "1 down"),
    Number("WorstDynamic", "amplification", "metrics/curves/method=dynamic&hmax=1.0/attained/max()", "1 down"),
    Number("WorstYarn", "amplification", "metrics/curves/method=yarn&hmax=1.0/attained/max()", "1 down"),
    Number("WorstLlamaThree", "amplification", "metrics/curves/method=llama3&hmax=1.0/attained/max()", "1 down"),
    Number("BestLower", "claims", _evidence("stability.best"), "text", r"has ([\d.]+),"),
    Number("BestUpper", "claims", _evidence("stability.best"), "text", r"gives ([\d.]+)$"),
    Number("BestPeriod", "claims", _evidence("stability.best"), "text", r"period (\d+)"),
    Number("EdgeAttained", "claims", _evidence("stability.edge"), "text", r"a\(1/2\) = ([\d.]+)"),
    Number("EdgeConstant", "claims", _evidence("stability.edge"), "text", r"> ([\d.]+)"),
    Number("EdgeWindow", "claims", _evidence("stability.edge"), "text", r"n = 0\.\.(\d+)"),
    Number("EdgeBox", "claims", "metrics/claims/id=stability.edge/domain", "text", r"<= (\d+),"),
    Number("BeyondUnit", "claims", _evidence("extrapolation.thousandfold"), "text", r"([\d.]+) \(H = 1\)"),
    Number("BeyondTen", "claims", _evidence("extrapolation.thousandfold"), "text", r"([\d.]+) \(H = 10\)"),
    Number("BeyondHundred", "claims", _evidence("extrapolation.thousandfold"), "text", r"([\d.]+) \(H = 100\)"),
    Number("BeyondBoxUnit", "claims", _evidence("extrapolation.thousandfold"), "text", r"\(H = (\d+)\)"),
    Number("BeyondBoxTen", "claims", _evidence("extrapolation.thousandfold"), "text", r"\), .*\(H = (\d+)\), "),
    Number("BeyondBox", "claims", _evidence("extrapolation.thousandfold"), "text", r"\(H = (\d+)\)$"),
    Number("BeyondWindow", "claims", "metrics/claims/id=extrapolation.thousandfold/domain", "text", r"L = (\d+)"),
    Number("BeyondAt", "claims", _evidence("extrapolation.thousandfold"), "text", r"a\((\d+)\)"),
    # trained heads: how they were measured
    Number("HeadsTinyTokens", "tiny_heads", "config/tokens", "integer"),
    Number("HeadsTinyPairs", "tiny_heads", "config/pairs", "integer"),
    Number("HeadsSmolTokens", "smollm2_heads", "config/tokens", "integer"),
    Number("HeadsSmolPairs", "smollm2_heads", "config/pairs", "integer"),
    # a released checkpoint, not fine-tuned
    Number("SmolFactor", "smollm2_perplexity", "config/factor", "0 near"),
    Number("SmolLast", "smollm2_perplexity", "config/last_tokens", "integer"),
    Number("SmolWindow", "smollm2_finetune", "config/window_tokens", "integer"),
    Number("SmolPasskeyMost", "smollm2_passkey", "config/contexts/max()", "integer"),
    Number("SmolPasskeyTrained", "smollm2_passkey", "metrics/cases/method=none/k_max/max()", "integer"),
    Number("SmolPasskeyLinear", "smollm2_passkey", "metrics/cases/method=linear/k_max/max()", "integer"),
    # the small model fine-tuned, at the peak learning rate that ends best
    Number("TablesWindow", "tiny_tables", "config/window_tokens", "integer"),
    Number("TablesContextLeast", "tiny_tables", "config/windows/1", "integer"),
    Number("TablesStepTokens", "tiny_tables", "config/steps_tokens", "integer"),
    Number("TablesSteps", "tiny_tables", "config/steps/max()", "integer"),
    Number("TablesDocuments", "tiny_tables", "config/corpora/books", "integer"),
    Number("TablesDocumentTokens", "tiny_tables", "config/document_tokens", "integer"),
    Number("TablesStrides", "tiny_tables", "config/strides_a_window", "integer"),
    Number("TablesFactorLeast", "tiny_tables", "config/factors/min()", "integer"),
    Number("TablesFactorMost", "tiny_tables", "config/factors/max()", "integer"),
    Number("TablesRate", "tiny_tables", f"{_run('linear', 2).removesuffix('/curve')}/peak_lr", "0 scientific"),
    Number(
        "TablesOtherRate",
        "tiny_tables",
        f"{_run('linear', 2, OTHER_RATE).removesuffix('/curve')}/peak_lr",
        "0 scientific",
    ),
    Number("TablesOld", "tiny_tables", f"{_run('linear', 2)}/-1/perplexity/books/256/perplexity", "2 near"),
    Number("TablesOldDirect", "tiny_tables", f"{_run('none', 2)}/-1/perplexity/books/256/perplexity", "2 near"),
    Number(
        "TablesOldOther", "tiny_tables", f"{_run('linear', 2, OTHER_RATE)}/-1/perplexity/books/256/perplexity", "2 near"
    ),
    Number(
        "TablesOldOtherDirect",
        "tiny_tables",
        f"{_run('none', 2, OTHER_RATE)}/-1/perplexity/books/256/perplexity",
        "2 near",
    ),
    Number("ContextTexts", "tiny_context", "config/texts", "integer"),
    Number("ContextSteps", "tiny_context", "config/steps", "integer"),
    Number("ContextFactor", "tiny_context", "config/tuned/0/factor", "integer"),
    Number("ShortWindow", "tiny_short_windows", "config/sequence_tokens", "integer"),
    Number("TablesTrained", "tiny_tables", "metrics/base/perplexity/books/256/perplexity", "2 near"),
    Number("TablesExtrapolated", "tiny_tables", "metrics/base/perplexity/books/512/perplexity", "2 near"),
    Number("TablesUntuned", "tiny_tables", f"{_run('linear', 2)}/0/perplexity/books/512/perplexity", "2 near"),
    Number("TablesTuned", "tiny_tables", f"{_run('linear', 2)}/-1/perplexity/books/512/perplexity", "2 near"),
    Number("TablesDirect", "tiny_tables", f"{_run('none', 2)}/-1/perplexity/books/512/perplexity", "2 near"),
    Number("TablesSeeds", "tiny_tables", "config/seeds/count()", "integer"),
    Number("TablesKey", "tiny_tables", f"{_run('linear', 2)}/-1/k_max", "integer"),
    Number("TablesKeyDirect", "tiny_tables", f"{_run('none', 2)}/-1/k_max", "integer"),
    Number("TablesKeyMore", "tiny_tables", f"{_run('linear', 4)}/-1/k_max", "integer"),
    Number("TablesKeyMoreDirect", "tiny_tables", f"{_run('none', 4)}/-1/k_max", "integer"),
    # the lag of direct fine-tuning, by pretraining
    Number("LagFactor", "tiny_lag", "config/factor", "integer"),
    Number("LagSteps", "tiny_lag", "config/steps/max()", "integer"),
    Number("LagRate", "tiny_lag", "config/peak_lr", "0 scientific"),
    Number("LagTokensFew", "tiny_lag", "metrics/models/0/tokens", "millions"),
    Number("LagTokensHalf", "tiny_lag", "metrics/models/1/tokens", "millions"),
    Number("LagTokensMost", "tiny_lag", "metrics/models/2/tokens", "millions"),
    Number("LagOwnFew", "tiny_lag", f"{_state(0)}/256/perplexity", "1 near"),
    Number("LagOwnMost", "tiny_lag", f"{_state(2)}/256/perplexity", "1 near"),
    Number("LagBeyondFew", "tiny_lag", f"{_state(0)}/1024/perplexity", "1 near"),
    Number("LagBeyondMost", "tiny_lag", f"{_state(2)}/1024/perplexity", "1 near"),
    Number(
        "LagUntunedFew",
        "tiny_lag",
        "metrics/models/0/runs/method=linear/curve/0/perplexity/books/1024/perplexity",
        "1 near",
    ),
    # the same for fewer steps at several rates
    Number("RatesSteps", "tiny_sweep", "config/steps/max()", "integer"),
    Number("RatesDocuments", "tiny_sweep", "config/corpora/books", "integer"),
    # scaling methods at equal steps
    Number("MethodsFactor", "tiny_methods", "config/factor", "integer"),
    Number("MethodsContext", "tiny_methods", "config/windows/4", "integer"),
    Number("MethodsStepTokens", "tiny_methods", "config/steps_tokens", "integer"),
    Number("MethodsSteps", "tiny_methods", "config/steps/max()", "integer"),
    Number("MethodsLinear", "tiny_methods", _method("linear", "zero_shot"), "2 near"),
    Number("MethodsLinearTuned", "tiny_methods", _method("linear", "fine_tuned"), "2 near"),
    Number("MethodsYarn", "tiny_methods", _method("yarn", "zero_shot"), "2 near"),
    Number("MethodsYarnTuned", "tiny_methods", _method("yarn", "fine_tuned"), "2 near"),
    # a released checkpoint, fine-tuned
    Number("SmolTuneSteps", "smollm2_finetune", "config/steps/max()", "integer"),
    Number("SmolTuneTokens", "smollm2_finetune", "config/steps_tokens", "integer"),
    Number("SmolTuneContext", "smollm2_finetune", "config/windows/max()", "integer"),
    Number("SmolTuneTrained", "smollm2_finetune", "metrics/base/perplexity/books/8192/perplexity", "2 near"),
    Number("SmolTuneExtrapolated", "smollm2_finetune", "metrics/base/perplexity/books/16384/perplexity", "2 near"),
    Number("SmolTuneUntuned", "smollm2_finetune", f"{UNTUNED}/method=linear/{AT_EXTENDED}", "2 near"),
    Number("SmolTuneYarn", "smollm2_finetune", f"{UNTUNED}/method=yarn/{AT_EXTENDED}", "2 near"),
    Number("SmolTuneTuned", "smollm2_finetune", f"metrics/runs/method=linear/curve/-1/{AT_EXTENDED}", "2 near"),
    # the same on a GPU, in windows of the new length
    Number("SmolGpuDevice", "smollm2_finetune@gpu", "device", "text", r"^NVIDIA (\w+)"),
    Number("SmolGpuSteps", "smollm2_finetune@gpu", "config/steps/max()", "integer"),
    Number("SmolGpuFirst", "smollm2_finetune@gpu", "config/steps/min()", "integer"),
    Number("SmolGpuTokens", "smollm2_finetune@gpu", "config/steps_tokens", "integer"),
    Number("SmolGpuDocuments", "smollm2_finetune@gpu", "config/corpora/books", "integer"),
    Number("SmolGpuLast", "smollm2_finetune@gpu", "config/last_tokens", "integer"),
    Number("SmolGpuPI", "smollm2_finetune@gpu", f"{_end('linear')}/perplexity/books/16384/perplexity", "2 near"),
    Number("SmolGpuDirect", "smollm2_finetune@gpu", f"{_end('none')}/perplexity/books/16384/perplexity", "2 near"),
    Number("SmolGpuPILast", "smollm2_finetune@gpu", f"{_end('linear')}/last/books/16384/perplexity", "2 near"),
    Number("SmolGpuDirectLast", "smollm2_finetune@gpu", f"{_end('none')}/last/books/16384/perplexity", "2 near"),
    Number("SmolGpuPICode", "smollm2_finetune@gpu", f"{_end('linear')}/last/code/16384/perplexity", "2 near"),
    Number("SmolGpuDirectCode", "smollm2_finetune@gpu", f"{_end('none')}/last/code/16384/perplexity", "2 near"),
    Number("SmolGpuPIKey", "smollm2_finetune@gpu", f"{_end('linear')}/k_max", "integer"),
    Number("SmolGpuDirectKey", "smollm2_finetune@gpu", f"{_end('none')}/k_max", "integer"),
    # summaries
    Number("SummariesDocuments", "smollm2_summaries", "config/documents", "integer"),
    Number("SummariesBefore", "smollm2_summaries", f"{_rouge('as given')}/mean", "1 near"),
    Number("SummariesBeforeError", "smollm2_summaries", f"{_rouge('as given')}/stderr", "1 near"),
    Number("SummariesAfter", "smollm2_summaries", f"{_rouge('fine-tuned')}/mean", "1 near"),
    Number("SummariesAfterError", "smollm2_summaries", f"{_rouge('fine-tuned')}/stderr", "1 near"),
    # what the loss beyond the window comes from
    Number("JumpTinyTokens", "tiny_jump", "config/tokens", "integer"),
    Number("JumpTinyLast", "tiny_jump", "config/last_tokens", "integer"),
    Number("JumpTinyDocuments", "tiny_jump", "config/corpora/books", "integer"),
    Number("JumpTinyFiles", "tiny_jump", "config/corpora/code", "integer"),
    Number("JumpTinyHeads", "tiny_jump", "metrics/heads/count()", "integer"),
    Number("JumpTiny", "tiny_jump", "metrics/losses/none/over_within", "2 near"),
    Number("JumpTinyError", "tiny_jump", "metrics/losses/none/stderr", "2 near"),
    Number("JumpTinyClamp", "tiny_jump", "metrics/losses/clamp/over_within", "2 near"),
    Number("JumpTinyLinear", "tiny_jump", "metrics/losses/linear/over_within", "2 near"),
    Number("JumpTinyFew", "tiny_jump", f"{WORST}/counts/1", "integer"),
    Number("JumpTinyFewLeave", "tiny_jump", f"{WORST}/over_within/1", "2 near"),
    Number("JumpTinyMore", "tiny_jump", f"{WORST}/counts/4", "integer"),
    Number("JumpTinyMoreLeave", "tiny_jump", f"{WORST}/over_within/4", "2 near"),
    Number("JumpTinySizeLeave", "tiny_jump", f"{LARGEST}/over_within/4", "2 near"),
    Number("JumpSmolTokens", "smollm2_jump", "config/tokens", "integer"),
    Number("JumpSmolHeads", "smollm2_jump", "metrics/heads/count()", "integer"),
    Number("JumpSmol", "smollm2_jump", "metrics/losses/none/over_within", "2 near"),
    Number("JumpSmolClamp", "smollm2_jump", "metrics/losses/clamp/over_within", "3 near"),
    Number("JumpSmolWorst", "smollm2_jump", f"{WORST}/counts/0", "integer"),
    Number("JumpSmolWorstLeave", "smollm2_jump", f"{WORST}/over_within/0", "2 near"),
    Number("JumpSmolRandomLeave", "smollm2_jump", "metrics/worst_first/order=random 0/over_within/0", "2 near"),
    # how it was computed
    Number("VersionNumpy", "claims", "versions/numpy", "text"),
    Number("VersionScipy", "claims", "versions/scipy", "text"),
    Number("VersionSympy", "claims", "versions/sympy", "text"),
    Number("VersionFlint", "claims", "versions/python-flint", "text"),
    # resolution, reach and displacement, and what they predict
    Number("CapFactorLeast", "tiny_bends", "config/factors/0", "integer"),
    Number("CapFactor", "tiny_bends", "config/factors/1", "integer"),
    Number("CapFactorMost", "tiny_bends", "config/factors/2", "integer"),
    Number("CapTwo", "tiny_bends", f"{_kept('linear', 2)}/predicted/fastest", "3 near"),
    Number("CapFour", "tiny_bends", f"{_kept('linear', 4)}/predicted/fastest", "3 near"),
    Number("CapEight", "tiny_bends", f"{_kept('linear', 8)}/predicted/fastest", "3 near"),
    Number("BendFactor", "smollm2_bends", "config/factors/0", "integer"),
    Number("BendTinyLinear", "tiny_bends", f"{_kept('linear', 2)}/bend", "2 near"),
    Number("BendTinyNtk", "tiny_bends", f"{_kept('ntk', 2)}/bend", "2 near"),
    Number("BendTinyYarn", "tiny_bends", f"{_kept('yarn', 2)}/bend", "2 near"),
    Number("BendTinyLlamaThree", "tiny_bends", f"{_kept('llama3', 2)}/bend", "2 near"),
    Number("BendSmolLinear", "smollm2_bends", f"{_kept('linear', 2)}/bend", "2 near"),
    Number("BendSmolNtk", "smollm2_bends", f"{_kept('ntk', 2)}/bend", "2 near"),
    Number("BendSmolYarn", "smollm2_bends", f"{_kept('yarn', 2)}/bend", "2 near"),
    Number("BendSmolLlamaThree", "smollm2_bends", f"{_kept('llama3', 2)}/bend", "2 near"),
    Number("BendTinyHeads", "tiny_bends", "metrics/heads/layer/count()", "integer"),
    Number("BendTinyFactor", "tiny_bends", f"{SPARED_TINY}/factor", "integer"),
    Number("BendTinyBefore", "tiny_bends", f"{SPARED_TINY}/loss_nats/untouched", "2 near"),
    Number("BendTinyAfter", "tiny_bends", f"{SPARED_TINY}/loss_nats/interpolated", "2 near"),
    Number("BendTinyOne", "tiny_bends", f"{SPARED_TINY}/sharpest/0/share", "2 near"),
    Number("BendTinyOneError", "tiny_bends", f"{SPARED_TINY}/sharpest/0/stderr", "2 near"),
    Number("BendTinyThree", "tiny_bends", f"{SPARED_TINY}/sharpest/2/share", "2 near"),
    Number("BendTinyThreeError", "tiny_bends", f"{SPARED_TINY}/sharpest/2/stderr", "2 near"),
    Number("BendSmolBefore", "smollm2_bends", f"{SPARED_SMOL}/loss_nats/untouched", "2 near"),
    Number("BendSmolAfter", "smollm2_bends", f"{SPARED_SMOL}/loss_nats/interpolated", "2 near"),
    Number("BendSmolOne", "smollm2_bends", f"{SPARED_SMOL}/sharpest/0/share", "2 near"),
    Number("BendSmolOneError", "smollm2_bends", f"{SPARED_SMOL}/sharpest/0/stderr", "2 near"),
    Number("BendSmolThree", "smollm2_bends", f"{SPARED_SMOL}/sharpest/1/share", "2 near"),
    Number("BendSmolThreeError", "smollm2_bends", f"{SPARED_SMOL}/sharpest/1/stderr", "2 near"),
    Number("ReachRise", "tiny_reach", "config/rise_nats", "2 near"),
    Number("ReachTinyCurves", "tiny_reach", "metrics/curves/method/count()", "integer"),
    Number("ReachTinyRank", "tiny_reach", "metrics/rank_correlation/reach/value", "2 near"),
    Number("ReachTinyLow", "tiny_reach", "metrics/rank_correlation/reach/interval/0", "2 near"),
    Number("ReachTinyHigh", "tiny_reach", "metrics/rank_correlation/reach/interval/1", "2 near"),
    Number("ReachTinyPromised", "tiny_reach", "metrics/rank_correlation/extended window/value", "2 near"),
    Number("ReachTinyError", "tiny_reach", "metrics/error/reach", "2 near"),
    Number("ReachSmolNtk", "smollm2_reach", "metrics/curves/method=ntk/reach_tokens", "integer"),
    Number("ReachSmolNtkMost", "smollm2_reach", "metrics/curves/method=ntk/excess/max()", "2 near"),
    Number("ReachSmolYarn", "smollm2_reach", "metrics/curves/method=yarn/reach_tokens", "integer"),
    Number("ReachSmolYarnMost", "smollm2_reach", "metrics/curves/method=yarn/excess/max()", "2 near"),
    Number("ReachSmolRead", "smollm2_reach", "metrics/curves/method=ntk/read_tokens", "integer"),
    Number("ReachSmolNone", "smollm2_reach", "metrics/curves/method=none/reach_tokens", "integer"),
    Number("ReachSmolNoneOnset", "smollm2_reach", "metrics/curves/method=none/onset", "integer"),
    Number("MovedTinyRank", "tiny_displacement", "metrics/rank_correlation/all/kl/value", "2 near"),
    Number("MovedTinyLow", "tiny_displacement", "metrics/rank_correlation/all/kl/interval/0", "2 near"),
    Number("MovedTinyHigh", "tiny_displacement", "metrics/rank_correlation/all/kl/interval/1", "2 near"),
    Number("MovedTinyInside", "tiny_displacement", "metrics/rank_correlation/inside/kl/value", "2 near"),
    Number("MovedTinyBeyond", "tiny_displacement", "metrics/rank_correlation/beyond/kl/value", "2 near"),
    Number("MovedSmolRank", "smollm2_displacement", "metrics/rank_correlation/all/kl/value", "2 near"),
    Number("MovedSmolLow", "smollm2_displacement", "metrics/rank_correlation/all/kl/interval/0", "2 near"),
    Number("MovedSmolHigh", "smollm2_displacement", "metrics/rank_correlation/all/kl/interval/1", "2 near"),
    Number("ChoiceAmongKl", "tiny_choice", "metrics/rank_correlation/divergence/among/value", "2 near"),
    Number("ChoiceAmongKlLow", "tiny_choice", "metrics/rank_correlation/divergence/among/interval/0", "2 near"),
    Number("ChoiceAmongKlHigh", "tiny_choice", "metrics/rank_correlation/divergence/among/interval/1", "2 near"),
    Number("ChoiceAmong", "tiny_choice", "metrics/rank_correlation/squared/among/value", "2 near"),
    Number("ChoiceAmongLow", "tiny_choice", "metrics/rank_correlation/squared/among/interval/0", "2 near"),
    Number("ChoiceAmongHigh", "tiny_choice", "metrics/rank_correlation/squared/among/interval/1", "2 near"),
    Number("ChoiceBeyond", "tiny_choice", "metrics/rank_correlation/squared/beyond/value", "2 near"),
    Number("ChoiceBeyondKl", "tiny_choice", "metrics/rank_correlation/divergence/beyond/value", "2 near"),
    Number("ChoiceSettings", "tiny_choice", "metrics/settings/method/count()", "integer"),
    Number("ChoiceBest", "tiny_choice", "metrics/summary/beyond/squared/best", "integer"),
    Number("ChoiceCells", "tiny_choice", "metrics/summary/beyond/squared/cells", "integer"),
    Number("ChoiceMean", "tiny_choice", "metrics/summary/beyond/squared/mean_nats", "3 near"),
    Number("ChoiceLargest", "tiny_choice", "metrics/summary/beyond/squared/largest_nats", "3 near"),
    Number("ChoiceYarn", "tiny_choice", "metrics/summary/beyond/yarn/mean_nats", "2 near"),
    Number("ChoiceLlamaThree", "tiny_choice", "metrics/summary/beyond/llama3/mean_nats", "2 near"),
    Number("ChoiceNtk", "tiny_choice", "metrics/summary/beyond/ntk/mean_nats", "2 near"),
    Number("RecoverySteps", "tiny_recovery", f"{RECOVERED}/step", "integer"),
    Number("RecoveryFactor", "tiny_recovery", "metrics/runs/0/factor", "integer"),
    Number("RecoveryBendBefore", "tiny_recovery", "metrics/runs/0/curve/0/bend/all/value", "2 near"),
    Number("RecoveryBendAfter", "tiny_recovery", f"{RECOVERED}/bend/all/value", "2 near"),
    Number("RecoveryBendLow", "tiny_recovery", f"{RECOVERED}/bend/all/interval/0", "2 near"),
    Number("RecoveryBendHigh", "tiny_recovery", f"{RECOVERED}/bend/all/interval/1", "2 near"),
    Number("RecoverySlopeBefore", "tiny_recovery", "metrics/runs/0/curve/0/slope/all/value", "2 near"),
    Number("RecoverySlopeAfter", "tiny_recovery", f"{RECOVERED}/slope/all/value", "2 near"),
    Number("RecoveryRankBefore", "tiny_recovery", "metrics/rank_correlation/step 0/all/kl/value", "2 near"),
    Number("RecoveryRankAfter", "tiny_recovery", "metrics/rank_correlation/step 100/all/kl/value", "2 near"),
    Number("RecoveryRankLow", "tiny_recovery", "metrics/rank_correlation/step 100/all/kl/interval/0", "2 near"),
    Number("RecoveryRankHigh", "tiny_recovery", "metrics/rank_correlation/step 100/all/kl/interval/1", "2 near"),
)

_BEFORE = "Fine-tuned by PI, the model has a lower perplexity in its new window than before in its old one"
_AHEAD = "In the new window PI ends with a lower perplexity than direct fine-tuning"
_SHORT = "Training PI on short windows gives as low"
_FARTHER = "Training PI on short windows finds more passkeys beyond"
_KEPT = "In the original window the perplexity is at most"
_EVERYWHERE = "Fine-tuned by PI, the model finds more than"
_BEYOND = "Fine-tuned directly, the model finds fewer than"
_SOON = "PI gets within"
_LATER = "Direct fine-tuning gets within"

_LAG = "The more a model was pretrained"

_FAR = "Extended by PI and fine-tuned, tokens beyond the old window"
_NET = "Extended by PI and fine-tuned, the model predicts better from its new window than untouched"
_PAST = "Extended by PI and fine-tuned, the model predicts better from its new window than fine-tuned directly"

# What decided the statements about fine-tuning on the tiny LLaMA, at the smaller and the larger factor.
DECISIONS = (
    tuple(
        Decision(f"{macro}{more}", experiment, states, of, factor)
        for more, factor in (("", 2), ("More", 4))
        for macro, experiment, states, of in (
            ("DecidedBooks", "table1_books", _BEFORE, "books"),
            ("DecidedCode", "table2_code", _BEFORE, "code"),
            ("DecidedBooksDirect", "table1_books", _AHEAD, "books"),
            ("DecidedCodeDirect", "table2_code", _AHEAD, "code"),
            ("DecidedShort", "short_windows", _SHORT, "books"),
            ("DecidedShortCode", "short_windows", _SHORT, "code"),
            ("DecidedShortKeys", "short_windows", _FARTHER, "passkeys"),
            ("DecidedUntuned", "table3_steps", "Before any fine-tuning, PI has at most half", "books"),
            ("DecidedKept", "table5_original_window", _KEPT, "books"),
            ("DecidedKeptBeside", "table5_original_window", "In the original window PI ends at most", "books"),
            ("DecidedKeptCode", "table5_original_window", _KEPT, "code"),
            ("DecidedEverywhere", "table4_kmax", _EVERYWHERE, "passkeys"),
            ("DecidedBeyond", "table4_kmax", _BEYOND, "passkeys"),
            ("DecidedSoon", "adaptation", _SOON, "books"),
            ("DecidedLater", "adaptation", _LATER, "books"),
        )
    )
    + tuple(
        Decision(macro, "context_tiny", states, f"PI ×4, {corpus}", None)
        for macro, states, corpus in (
            ("ContextBooks", _FAR, "books"),
            ("ContextPackages", _FAR, "packages"),
            ("ContextFar", _FAR, "far repeats"),
            ("ContextNet", _NET, "far repeats"),
            ("ContextDirect", _PAST, "far repeats"),
        )
    )
    + tuple(
        Decision(macro, "lag", _LAG, of, None)
        for macro, of in (("LagHalf", "4.92M tokens against 1.97M"), ("LagMost", "9.83M tokens against 4.92M"))
    )
)

# What the published paper itself says: for each macro the value, and where the paper has it.
QUOTED = {
    "PaperRatio": ("600", "Section 2.3"),
    "PaperConstant": ("294.73", "Section 2.3"),
    "PaperWithin": ("5", "Table 3, by a fifth of its steps"),
    "PaperBlowUp": ("8000", "Fig. 2"),
}
