"""The arithmetic and the traffic of a training step, and the time they take.

Tests hold the arithmetic against torch's own count.
"""

from functools import cached_property

from pi_model.planning.formulas import Bytes, Count, Flop, Hours, Seconds
from pi_model.planning.memory import Memory


class Speed(Memory):
    """The work of one optimiser step over all GPUs, and the time of a step and of the run."""

    @cached_property
    def tokens(self) -> Count:
        """Tokens in an optimiser step, over all GPUs."""
        return self.global_batch * self.sequence

    @cached_property
    def layer_matrix(self) -> Count:
        """Weights of one layer that multiply its activations."""
        return self.hidden * (2 * self.queries + 2 * self.keys + 3 * self.intermediate)

    @cached_property
    def model_flops(self) -> Flop:
        """Operations of a step without recomputation and adapters, with attention over the causal half.

        For each token, a weight takes 2 forward, 2 for the gradient of its input and, if it is trained, 2 for its own.
        Each of attention's two products takes queries times sequence forward and twice that backward.
        """
        return self.tokens * (
            (4 if self.adapted else 6) * (self.layers * self.layer_matrix + self.vocabulary * self.hidden)
            + 6 * self.layers * self.queries * self.sequence
        )

    @cached_property
    def recomputed_flops(self) -> Flop:
        """Operations of a step that full checkpointing adds.

        Torch recomputes a layer as far as its last saved tensor. That leaves out the MLP's last product, or the B of
        its adapter. Selective checkpointing recomputes no products, so it adds nothing here.
        """
        return (
            2
            * self.tokens
            * self.layers
            * (
                self.layer_matrix
                + self.layer_adapters
                + self.queries * self.sequence
                - self.hidden * (self.rank if "down_proj" in self.adapted else self.intermediate)
            )
            if self.checkpointing == "full"
            else 0
        )

    @cached_property
    def executed_flops(self) -> Flop:
        """Operations of a step as they are executed, with recomputation and adapters.

        The backward pass of attention computes the scores once more, whatever the checkpointing.
        """
        return (
            self.model_flops
            + self.tokens * self.layers * (6 * self.layer_adapters + self.queries * self.sequence)
            + self.recomputed_flops
        )

    @cached_property
    def traffic(self) -> Bytes:
        """Bytes that a GPU receives in a step.

        Weights of layers arrive twice, for the forward and the backward pass. All other weights and the gradients
        arrive once.
        """
        return (
            self.accumulation
            * (self.gpus - 1)
            / self.gpus
            * (
                self.width * (2 * self.layers * (self.layer_parameters + self.layer_adapters) + self.root_parameters)
                + 4 * self.trained
            )
        )

    @cached_property
    def window_traffic(self) -> Bytes:
        """Bytes that a GPU receives in a step from those it shares windows with.

        They are keys and values in the forward pass, again where that is recomputed, and their gradients in the
        backward pass.
        """
        return (
            self.accumulation
            * self.layers
            * self.window_keys
            * (1 - 1 / self.context_parallel)
            * (3 if self.checkpointing == "full" else 2)
        )

    @cached_property
    def compute_time(self) -> Seconds:
        """Time of a step's arithmetic."""
        return self.executed_flops / (self.gpus * self.peak_flops * self.utilisation)

    @cached_property
    def traffic_time(self) -> Seconds:
        """Time of a step's traffic at the speed of the link's data sheet."""
        return self.traffic / self.link

    @cached_property
    def window_time(self) -> Seconds:
        """Time of the traffic between GPUs that share windows, which attention waits for."""
        return self.window_traffic / self.window_link

    @cached_property
    def step_time(self) -> Seconds:
        """Time of a step, if the shorter of arithmetic and traffic is hidden behind the longer."""
        return max(self.compute_time, self.traffic_time) + self.window_time

    @cached_property
    def run_time(self) -> Hours:
        """Time of all steps."""
        return self.steps * self.step_time / 3600

    @cached_property
    def gpu_hours(self) -> Hours:
        """Time of all steps on all GPUs together."""
        return self.gpus * self.run_time
