"""A checkpoint extended for the length of a measurement."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pi_model.models.extension import extend_checkpoint
from pi_model.models.sources import local_folder
from pi_theory.scaling import scaling_by_name


@contextmanager
def extended_model(source: str | Path, method: str, factor: float) -> Iterator[Path]:
    """The folder of a checkpoint that scales positions by a method; it is gone when the block ends.

    Args:
        source: what `pi_model.models.loading.load_checkpoint` takes.
        method: a name of `pi_theory.scaling.METHODS`; "none" gives the source's own folder, which stays.
        factor: L'/L.

    Raises:
        UsageError: there is no such source or method, or it does not compose with the source's own.
        RunError: the source is broken or cannot be had.
    """
    if method == "none":
        yield local_folder(source)
        return
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / method
        extend_checkpoint(source, scaling_by_name(method, float(factor)), folder)
        yield folder
