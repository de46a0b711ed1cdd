"""What a run takes around its steps: disk, and the time to prepare, load, measure and export."""

from functools import cached_property

from pi_model.planning.formulas import Bytes, Count, Hours
from pi_model.planning.speed import Speed


class Surroundings(Speed):
    """Disk, and time before, between and after the steps. All of it but evaluation rests on assumed speeds."""

    @cached_property
    def checkpoint(self) -> Bytes:
        """One checkpoint: the trained weights and AdamW's two moments of each, in float32."""
        return 12 * self.trained

    @cached_property
    def checkpoints(self) -> Bytes:
        """All checkpoints that are kept, and the one that is being written."""
        return self.checkpoint * (min(self.keep, self.steps / self.checkpoint_every) + 1)

    @cached_property
    def exported(self) -> Bytes:
        """The model that is exported at the end, in the dtype of the forward pass."""
        return self.width * self.parameters

    @cached_property
    def trained_tokens(self) -> Count:
        """Tokens that the run trains on."""
        return self.steps * self.tokens

    @cached_property
    def preparation_time(self) -> Hours:
        """Time for one core to make tokens of the text, once; what is fetched takes time in addition."""
        return self.trained_tokens / self.tokenizing / 3600

    @cached_property
    def loading_time(self) -> Hours:
        """Time to read the weights, of which each GPU reads its own rows, through the disk of its machine."""
        return self.width * self.parameters / max(self.gpus / 8, 1) / self.disk / 3600

    @cached_property
    def checkpoint_time(self) -> Hours:
        """Time to write the last checkpoint, a part on each machine; all others are written behind the steps."""
        return self.checkpoint / max(self.gpus / 8, 1) / self.disk / 3600

    @cached_property
    def evaluation_time(self) -> Hours:
        """Time to measure the model during the run, at most."""
        return (
            self.evaluations
            * 2
            * self.layers
            * (self.read_tokens * self.layer_matrix + self.read_pairs * self.queries)
            / (self.peak_flops * self.utilisation)
            / 3600
        )

    @cached_property
    def export_time(self) -> Hours:
        """Time to write the exported model."""
        return self.exported / self.disk / 3600

    @cached_property
    def other_time(self) -> Hours:
        """Time on the GPUs that is no step: loading, measuring, the last checkpoint and the export."""
        return self.loading_time + self.evaluation_time + self.checkpoint_time + self.export_time
