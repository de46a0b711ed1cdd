"""The report of an examination: one file that is well formed whatever was found, readable by all, and says its gaps."""

import dataclasses
import math
import re
import tomllib
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.records.record import ROOT
from pi_model.evaluation.differences import difference
from pi_model.evaluation.passkey import SUCCESS, largest_reached
from pi_model.examine.findings import (
    Cost,
    Examination,
    Identity,
    Measured,
    Method,
    Oddity,
    PredictedLoss,
    Reason,
    Recommendation,
    Sharpness,
    Stretch,
    Theorem,
)
from pi_model.examine.prediction import predicted_loss
from pi_model.examine.report import page
from pi_model.examine.report.methods import REACHED, k_max
from pi_theory.scaling import METHODS

HOSTILE = "<script>alert(\"1\")</script> & '</title>' \u202e\x00"


def sample(model="smollm2-135m", better=0.0, window=8192, context=16384, stretches=8):
    """An examination with made-up values of the size that real ones have."""

    def measured(beyond, inside):
        step = context // stretches
        curve = tuple(
            Stretch(
                at,
                at + step,
                2.9 + inside + 1.3 / (1 + at / step) + (beyond * (at - window) / window) * (at >= window) - better,
            )
            for at in range(0, context, step)
        )

        def part(first, last):
            losses = [one.loss_nats for one in curve if first <= one.start < last]
            return tuple(sum(losses) / len(losses) + 0.2 * wave for wave in (-1.1, 0.3, 0.8, 0.1 + 0.05 * beyond))

        return Measured(4, part(0, context), part(0, window), part(context * 7 // 8, context), curve)

    found = {context * share // 16: 0 for share in (1, 2, 4, 6, 8, 11, 15)}

    def keys(*shares):
        return dict(zip(found, shares, strict=True))

    factor = context / window

    def way(method, reach, sharpest, flat, displacement, bend, *found):
        predicted = predicted_loss([displacement], layers=30)
        return Method(method, factor, reach, sharpest, flat, displacement, bend, predicted, *found)

    methods = (
        replace(
            way("none", window, 1.0, 1.0, 31.8, 1.0, measured(5.2, 0), keys(1, 1, 1, 0.75, 0.25, 0, 0)), factor=1.0
        ),
        way("linear", context - 1, 0.266, 0.31, 12.4, 0.28, measured(0.02, 1.28), keys(0.5, 0.25, 0, 0, 0, 0, 0)),
        way("ntk", 11310, 1.0, 0.81, 6.31, 0.77, measured(0.61, 0.05), keys(1, 1, 0.75, 0.5, 0.5, 0, 0)),
        way("dynamic", 10240, 1.0, 0.84, 7.02, 0.79, measured(0.9, 0.03), keys(1, 1, 1, 0.5, 0.25, 0, 0)),
        way("yarn", context - 1, 1.143, 0.95, 3.17, 0.93, measured(-0.03, 0.014), keys(1, 1, 1, 1, 0.75, 0.5, 0.25)),
        way("llama3", context - 1, 1.0, 0.88, 4.05, 0.9, measured(0.06, 0.02), None),
    )
    return Examination(
        identity=Identity(
            model, "llama", 134_515_008, "bfloat16", 30, 9, 3, 64, 100_000.0, 49_152, "none", 1.0, window,
            "max_position_embeddings, confirmed by the model card's training length", window,
            "GPT2Tokenizer, 49,152 tokens", "<|endoftext|>",
            (
                Oddity("the head is the embedding", "nothing changes for a longer window"),
                Oddity("three heads share each key", "the cache of a longer window takes a third of the room"),
            ),
        ),
        context_tokens=context,
        theorem=Theorem(False, 1.0423, 1 / math.cos(0.5), 1.0),
        sharpness=Sharpness(41, 270, 2.83, 7, 3),
        methods=methods,
        data="8 books and 4 files of code that come with the package",
        device="CPU, 2 cores, float32; torch 2.11.0, transformers 5.17.0",
        minutes=9.4,
        complete=False,
        recommendation=Recommendation(
            "yarn",
            True,
            (
                Reason("phases stay known up to 16383 tokens by yarn; ntk ends at 11310", "proved"),
                Reason("YaRN moves 3.2 heads' worth of attention, linear interpolation 12.4.", "from the heads"),
                Reason("On four documents YaRN has perplexity 18.9, the next best method 19.5.", "measured"),
                Reason("Whether 200 steps are enough for passkeys at 15,360 tokens.", "not known"),
            ),
            (
                "pi-model extend smollm2-135m --method yarn --factor 2 --out smollm2-yarn",
                "pi-model finetune --model smollm2-135m --context 16384 --method yarn --data my.jsonl --column body",
            ),
        ),
        cost=Cost("H100", 1, 0.31, 22.4, True, "200 steps of 65,536 tokens in bfloat16, all weights"),
    )  # fmt: skip


class Page(HTMLParser):
    """Walks a page: its tags must nest, its ids be unique and its links lead somewhere within it."""

    def __init__(self, content):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.shown = [], [], [], [], []
        self.feed(content)
        self.close()
        assert not self.open
        assert len(set(self.ids)) == len(self.ids)
        assert set(self.links) <= {f"#{id}" for id in self.ids}

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        assert not {"src", "onclick", "onload", "xlink:href"} & attributes.keys()
        self.open.append(tag)
        self.tags.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.shown.append(data)

    @property
    def text(self):
        return "".join(self.shown)


def plan(kind, *values, **fields):
    """Draws what a dataclass is made from, so that it is made, and its types are checked, in the test."""
    names = [field.name for field in dataclasses.fields(kind)]
    return st.fixed_dictionaries(dict(zip(names, values, strict=False)) | fields).map(lambda drawn: (kind, drawn))


def made(drawn):
    match drawn:
        case (type() as kind, dict() as fields):
            return kind(**{name: made(value) for name, value in fields.items()})
        case list():
            return tuple(map(made, drawn))
    return drawn


words = st.text(st.characters(exclude_categories=())) | st.just(HOSTILE)  # with half characters, as paths may have
counts = st.integers(0, 2**63)
sizes = st.integers(1, 2**40)
numbers = st.floats() | st.sampled_from([0.0, math.nan, math.inf, -math.inf, 1e308, 5e-324])
losses = st.lists(numbers, max_size=3)
stretches = st.lists(plan(Stretch, counts, counts, numbers), max_size=4)
ways = plan(
    Method,
    method=st.sampled_from(list(METHODS)) | words,
    factor=numbers,
    reach_tokens=st.none() | counts,
    resolution=numbers,
    flat_resolution=numbers,
    displacement=st.none() | numbers,
    predicted=st.none() | plan(PredictedLoss, numbers, numbers, numbers),
    bend=st.none() | numbers,
    measured=st.none() | plan(Measured, st.integers(0, 3), losses, losses, losses, stretches),
    passkeys=st.none() | st.dictionaries(counts, numbers, max_size=3),
)
identities = plan(
    Identity,
    *[words, words, counts, words, counts, counts, counts, counts, numbers, counts, words, numbers, sizes, words],
    context_tokens=sizes,
    tokenizer=words,
    bos=st.none() | words,
    oddities=st.lists(plan(Oddity, words, words), max_size=1),
)
reasons = plan(Reason, words, st.sampled_from(["proved", "from the heads", "measured", "not known"]))
examinations = plan(
    Examination,
    identity=identities,
    context_tokens=sizes,
    theorem=plan(Theorem, st.booleans(), numbers, numbers, numbers),
    sharpness=st.none() | plan(Sharpness, counts, counts, numbers, counts, counts),
    methods=st.lists(ways, min_size=1, max_size=3),
    data=words,
    device=words,
    minutes=numbers,
    complete=st.booleans(),
    recommendation=plan(
        Recommendation,
        st.none() | st.sampled_from(list(METHODS)),
        st.none() | st.booleans(),
        st.lists(reasons, max_size=2),
        st.lists(words, max_size=2),
    ),
    cost=st.none() | plan(Cost, words, counts, numbers, numbers, st.booleans(), words),
)


@settings(max_examples=15)
@given(st.lists(examinations, min_size=1, max_size=2))
def test_any_findings_give_a_well_formed_page_without_network_or_scripts(found):
    content = page(made(found))
    content.encode()  # can be written
    read = Page(content)
    assert {tag for tag, _ in read.tags} <= {
        *(
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "header",
            "nav",
            "main",
            "section",
            "div",
            "h1",
            "h2",
            "h3",
        ),
        *("p", "ul", "li", "dl", "dt", "dd", "a", "b", "strong", "code", "pre", "span", "details", "summary"),
        *("table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption"),
        *("svg", "desc", "text", "path", "rect"),
    }
    assert not re.search(r"nan|inf\b", " ".join(str(attributes.get("d", "")) for _, attributes in read.tags))


def test_names_are_shown_as_they_are_and_what_cannot_be_seen_as_an_escape():
    shown = Page(page([sample(HOSTILE)])).text
    assert "<script>alert(\"1\")</script> & '</title>' \\u202e\\x00" in shown


def test_every_number_in_a_table_links_to_how_it_was_got():
    content = page([sample()])
    cells = re.findall(r"<td[^>]*>(.*?)</td>", content)
    numbers = [cell for cell in cells if re.search(r"\d", re.sub(r"<[^>]*>", "", cell))]
    assert len(numbers) > 100
    found = sample()
    words = {found.identity.dtype, found.identity.tokenizer, found.cost.run, found.data, found.device}
    assert {cell for cell in numbers if 'href="#how-' not in cell} == words


def test_what_is_not_known_is_said_and_never_none():
    found = sample()
    bare = [
        replace(method, displacement=None, bend=None, predicted=None, measured=None, passkeys=None, reach_tokens=None)
        for method in found.methods
    ]
    nothing = Recommendation(None, None, (), ())
    shown = Page(page([replace(found, methods=tuple(bare), sharpness=None, cost=None, recommendation=nothing)])).text
    assert "None" not in shown
    for said in ("not measured", "not known yet", "no limit", "could not be planned", "cannot be told", "--minutes"):
        assert said in shown


def test_charts_say_in_words_what_they_show_and_have_labels_at_their_lines():
    read = Page(page([sample()]))
    charts = [attributes for tag, attributes in read.tags if tag == "svg" and "role" in attributes]
    assert len(charts) == 9  # three charts at three widths
    assert all(len(chart["aria-label"]) > 100 for chart in charts)
    for name in ("YaRN", "Llama 3", "dynamic NTK", "NTK-aware", "linear (PI)", "↑ as it is 7.0"):
        assert name in read.shown


def test_two_examinations_are_subtracted_only_where_they_read_the_same():
    before, after = sample(), sample("tuned", better=0.21)
    assert "−0.210\xa0±\xa0" in Page(page([before, after])).text
    longer = replace(after, identity=replace(after.identity, context_tokens=16384))
    assert "up to 8,192 tokens" in Page(page([before, longer])).text
    for other in (
        replace(after, data="my.jsonl"),
        replace(after, context_tokens=32768),
        replace(after, identity=replace(after.identity, tokenizer="another")),
    ):
        shown = Page(page([before, other])).text
        assert "are not subtracted, because" in shown
        assert "−0.210" not in shown
    with pytest.raises(ValueError, match="one or two"):
        page([])


losses_of_documents = st.lists(st.floats(0, 10), min_size=1, max_size=6)


@given(losses_of_documents, losses_of_documents)
def test_differences_are_those_of_the_documents_that_both_have_read(one, other):
    found = difference(one, other)
    pairs = np.subtract(one[: len(other)], other[: len(one)])
    assert (found.pairs, found.mean) == (pairs.size, pytest.approx(pairs.mean()))
    expected = pairs.std(ddof=1) / math.sqrt(pairs.size) if pairs.size > 1 else None
    assert found.error == (expected if expected is None else pytest.approx(expected, abs=1e-12))


@given(st.dictionaries(st.integers(1, 9), st.floats(0, 1)))
def test_k_max_is_that_of_passkey_retrieval(found):
    assert REACHED == SUCCESS
    assert k_max(found) == largest_reached(found)


@pytest.mark.parametrize("scheme", range(3), ids=["light", "dark", "print"])
def test_every_colour_of_text_stands_out_from_the_page(scheme):
    style = files("pi_model.examine.report").joinpath("page.css").read_text()
    root = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[scheme]
    colours = dict(re.findall(r"--(\w+): (#\w+);", root))
    assert len(colours) == 15
    for name in colours.keys() - {"paper", "card", "line"}:
        for ground in ("paper", "card"):
            assert contrast(colours[name], colours[ground]) >= 4.5, name


def contrast(one, other):
    """The contrast of two colours by WCAG 2."""
    return (max(luminance(one), luminance(other)) + 0.05) / (min(luminance(one), luminance(other)) + 0.05)


def luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_every_package_and_the_style_of_the_report_are_installed():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = [path.parent for top in ("pi_theory", "pi_model") for path in ROOT.glob(f"{top}/**/__init__.py")]
    assert set(settings["packages"]) == {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert settings["package-data"]["pi_model.examine.report"] == ["page.css"]
