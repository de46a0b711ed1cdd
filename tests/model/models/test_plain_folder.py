"""What is plain without transformers is to transformers what it is here, and is extended as everything else is."""

import json
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_model.errors import RunError
from pi_model.models.config_file import read_config
from pi_model.models.extension import extend_checkpoint
from pi_model.models.families import empty_model, model_config
from pi_model.models.loading import check_folder, load_tokenizer, random_model
from pi_model.models.plain_folder import is_plain, weight_shapes
from pi_theory.scaling import METHODS, scaling_by_name
from tests.model.conftest import byte_tokenizer

# A model for each thing that differs between families.
MODELS = {
    "llama": ("llama", {}),
    "llama, biased": ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    "mistral": ("mistral", {"head_dim": 16}),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("qwen3", {"head_dim": 16, "attention_bias": True}),
}
# Values that a field may be given by mistake or on purpose.
ANY = st.none() | st.booleans() | st.integers(-2, 40) | st.sampled_from([0.5, "silu", "gelu", "4", [], [2], {}, "nope"])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A saved model of each kind, by its name."""
    found = {}
    for name, (family, changes) in MODELS.items():
        found[name] = tmp_path_factory.mktemp("saved") / "model"
        random_model(family, vocab_size=260, **changes).save_pretrained(found[name])
        byte_tokenizer().save_pretrained(found[name])
    return found


def shapes(content):
    with torch.device("meta"):
        return {name: list(one.shape) for name, one in empty_model(model_config(content)).state_dict().items()}


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_is_plain_and_has_the_weights_that_are_expected(name, folders):
    content = read_config(folders[name])
    assert is_plain(folders[name], content)
    assert weight_shapes(content) == shapes(content)


@settings(max_examples=60)
@given(name=st.sampled_from(sorted(MODELS)), field=st.integers(0, 60), value=ANY, without=st.booleans())
def test_what_is_plain_is_to_transformers_what_it_is_here(name, field, value, without, folders):
    content = json.loads((folders[name] / "config.json").read_text())
    others = {"layer_types": None, "sliding_window": None, "use_sliding_window": None, "nonsense": None}
    keys = [*content, *(others.keys() - content.keys())]
    key = sorted(keys)[field % len(keys)]
    content.pop(key, None)
    if not without:
        content[key] = value
    if key in ("model_type", "rope_parameters", "architectures", "dtype"):
        return  # which `read_config` checks before
    if is_plain(folders[name], content):
        assert weight_shapes(content) == shapes(content)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"none"}))
def test_a_plain_folder_is_extended_like_any_other(name, method, folders, tmp_path, monkeypatch):
    extend_checkpoint(folders[name], scaling_by_name(method, 2.0), tmp_path / "quick")
    monkeypatch.setattr("pi_model.models.extension.is_plain", lambda *_: False)
    extend_checkpoint(folders[name], scaling_by_name(method, 2.0), tmp_path / "thorough")
    quick, thorough = ({p.name: p.read_bytes() for p in (tmp_path / way).iterdir()} for way in ("quick", "thorough"))
    assert quick == thorough


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tokenizer_config.json", {"tokenizer_class": "CustomTokenizer"}),
        ("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "added_tokens_decoder": {"260": {}}}),
        ("generation_config.json", {"temperature": -1}),
        ("added_tokens.json", {"<pad>": 260}),
    ],
)
def test_files_that_transformers_has_to_judge_are_not_plain(file, content, folders, tmp_path):
    folder = shutil.copytree(folders["llama"], tmp_path / "model")
    (folder / file).write_text(json.dumps(content))
    assert not is_plain(folder, read_config(folder))


def test_a_broken_plain_folder_is_refused_like_any_other(folders, tmp_path):
    folder = shutil.copytree(folders["llama"], tmp_path / "model")
    content = read_config(folder) | {"num_hidden_layers": 3}
    (folder / "config.json").write_text(json.dumps(content))
    assert is_plain(folder, content)
    with pytest.raises(RunError) as thorough:
        load_tokenizer(folder, check_folder(folder, content))
    with pytest.raises(RunError) as quick:
        extend_checkpoint(folder, scaling_by_name("linear", 2.0), tmp_path / "out")
    assert str(quick.value) == str(thorough.value)
