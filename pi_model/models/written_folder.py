"""A check of a model folder just written: plain transformers reads it, and all copies of a fact in it agree."""

from copy import deepcopy
from pathlib import Path
from typing import Any

from pi_model.errors import RunError
from pi_model.models.companions import read_json
from pi_model.models.families import rotary_embedding
from pi_model.models.rope_fields import LENGTH_KEYS, states_length
from pi_model.models.rope_parameters import Extension, check_frequencies, read_extension
from pi_theory.scaling import DynamicNTK

# transformers 5 reads the first key. Versions before it know the other two alone; version 5 reads them as well, and
# before the first. So neither spelling may contradict the other or be absent.
_SPELLINGS = (("rope_parameters",), ("rope_scaling", "rope_theta"))


def check_written(folder: Path, extension: Extension, *, plain: bool = False) -> None:
    """Hold a folder's copies of each fact against each other and against what was to be written.

    Args:
        folder: the folder, before it has its final name.
        extension: how its positions are to be scaled.
        plain: the folder was made from one that `pi_model.models.plain_folder.is_plain`, so that what transformers
            reads in it is known without asking.

    Raises:
        RunError: two copies differ, or plain transformers computes other frequencies.
    """
    content = read_json(folder / "config.json")
    if "rope_theta" in (content.get("rope_scaling") or {}):
        raise RunError("not written: rope_scaling in config.json has a rope_theta, which not all versions read there")
    config = None if plain else _loaded("AutoConfig", folder)
    formats = {key: content.get(key) for key in ("dtype", "torch_dtype")}
    if config is not None:
        formats["dtype as loaded"] = str(config.dtype).removeprefix("torch.")
    _agree("number format", formats)

    positions: dict[str, Any] = {"what was asked for": _facts(extension)}
    for number, keys in enumerate(_SPELLINGS):
        if keys[-1] not in content:
            raise RunError(f"not written: config.json has no {keys[-1]}, which some versions of transformers need")
        others = {key for spelling in _SPELLINGS[:number] + _SPELLINGS[number + 1 :] for key in spelling}
        # A copy each time, because from_dict writes the base into the dict of the scaling.
        alone: Any = deepcopy({key: value for key, value in content.items() if key not in others})
        if config is None:
            positions[" and ".join(keys)] = _facts(read_extension(alone))
            continue
        alone = type(config).from_dict(alone)
        positions[" and ".join(keys)] = _facts(check_frequencies(rotary_embedding(alone), alone))
    if config is not None:
        positions["config.json as loaded"] = _facts(check_frequencies(rotary_embedding(config), config))
    _agree("scaling of positions", positions)

    lengths: dict[str, Any] = {"what was asked for": extension.context_tokens}
    if not isinstance(extension.scaling, DynamicNTK):  # for which it is the trained window, compared above
        lengths["max_position_embeddings in config.json"] = (
            content["max_position_embeddings"] if config is None else config.max_position_embeddings
        )
    lengths |= {f"{key} in config.json": content.get(key) for key in ("max_length", *LENGTH_KEYS)}
    generation = read_json(folder / "generation_config.json")
    read = None if plain else _loaded("GenerationConfig", folder)
    if "max_length" in generation:  # else it is a default of no meaning
        lengths["max_length in generation_config.json"] = generation["max_length"] if read is None else read.max_length
    tokenizer = read_json(folder / "tokenizer_config.json")
    lengths["model_max_length in tokenizer_config.json"] = tokenizer.get("model_max_length")
    truncation = read_json(folder / "tokenizer.json").get("truncation") or {}
    lengths["truncation in tokenizer.json"] = truncation.get("max_length")
    _agree("longest context", {where: value for where, value in lengths.items() if states_length(value)})


def _loaded(kind: str, folder: Path) -> Any:
    """What plain transformers reads from a folder; None if it has no such file."""
    import transformers

    try:
        return getattr(transformers, kind).from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if kind == "GenerationConfig" and not (folder / "generation_config.json").exists():
            return None
        raise RunError(f"not written: transformers does not read it: {str(error).splitlines()[0]}") from error


def _facts(extension: Extension) -> tuple[Any, ...]:
    return extension.scaling, extension.window_tokens, extension.context_tokens, extension.base, extension.head_dim


def _agree(fact: str, copies: dict[str, Any]) -> None:
    """Raise RunError if the copies of a fact differ; they are by the place where each stands."""
    (first, value), *others = copies.items()
    for where, other in others:
        if other != value:
            values = "" if isinstance(value, tuple) else f" ({value} and {other})"
            raise RunError(f"not written: the {fact} would not be the same by {first} and by {where}{values}")
