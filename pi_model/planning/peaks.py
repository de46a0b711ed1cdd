"""The moments of a training step at which memory may be at its peak, and the largest of them."""

from functools import cached_property

from pi_model.planning.formulas import Bytes
from pi_model.planning.memory import Memory


class Peaks(Memory):
    """The memory in use on one GPU at six moments of a step.

    One GPU alone gathers and reduces nothing: each gradient is float32 as soon as it is there. With several, what
    arrives is in memory beside what it is unpacked into, and in the forward pass the next layer arrives while one
    computes.
    """

    @cached_property
    def held(self) -> Bytes:
        """What a GPU holds all through a step; gradients only where they accumulate over forward passes."""
        return self.weights + self.optimizer_state + (self.gradients if self.accumulation > 1 else 0)

    @cached_property
    def peak_at_start(self) -> Bytes:
        """In use where the first layer is gathered."""
        return self.held + 2 * (self.gathered_root + self.gathered_layer)

    @cached_property
    def peak_in_forward(self) -> Bytes:
        """In use where the last layer is gathered."""
        return self.held + self.gathered_root + 3 * self.gathered_layer + (self.layers - 1) * self.layer_kept

    @cached_property
    def head_gradient(self) -> Bytes:
        """The head's gradient in float32, if the head is trained."""
        return 0 if self.adapted else 4 * self.vocabulary * self.hidden

    @cached_property
    def loss_buffers(self) -> Bytes:
        """The logits of a block, or their gradient with the product it gives, whichever is larger."""
        return max(self.logits, 6 * min(self.block, self.micro_tokens) * self.vocabulary + self.head_product)

    @cached_property
    def peak_at_loss(self) -> Bytes:
        """In use while the loss and the gradients of the logits are computed."""
        return (
            self.held
            + self.gathered_root
            + self.gathered_layer
            + self.head_gradient
            + self.final_activations
            + self.loss_buffers
            + self.all_kept
        )

    @cached_property
    def backward_buffers(self) -> Bytes:
        """In the backward pass: a layer and its gradients, the layer before it, and the head with its gradient."""
        return (
            self.gathered_root
            + self.head_gradient * (1 if self.gpus == 1 else self.width / 4)
            + self.width * self.trained_layer
            + 2 * self.gathered_layer
        )

    @cached_property
    def mlp_gradients(self) -> Bytes:
        """The gradients inside one MLP, and its product where that was not saved."""
        return (
            self.micro_tokens
            * self.width
            * (self.hidden + self.intermediate * (3 if self.adapted and "down_proj" not in self.adapted else 2))
        )

    @cached_property
    def attention_gradients(self) -> Bytes:
        """Where GPUs share windows: the gradients inside one layer's attention, beyond what its MLP has freed by then.

        The gradients of the keys and values of whole windows are there one and a half times while those of a piece are
        added to those of the other.
        """
        return (
            1.5 * self.window_keys
            + self.micro_tokens * (self.width * (self.hidden + 1.5 * self.queries) - 4 * self.hidden)
            - self.micro_tokens * self.width * (3 if self.adapted else 4) * self.intermediate
            if self.context_parallel > 1
            else 0
        )

    @cached_property
    def backward_values(self) -> Bytes:
        """The gradients inside one layer: in its MLP, or later in its attention."""
        return max(self.mlp_gradients, self.attention_gradients)

    @cached_property
    def peak_at_last_layer(self) -> Bytes:
        """In use in the last layer's backward pass, the first to run."""
        return (
            self.held
            + self.all_kept
            + max(20 * self.micro_tokens * self.hidden, self.layer_recomputed + self.backward_values)
            + self.backward_buffers
        )

    @cached_property
    def gradients_behind(self) -> Bytes:
        """A GPU's share of the gradients that are there when the second layer's backward pass begins."""
        return 4 * max(self.layers - 2, 0) * self.trained_layer / self.gpus

    @cached_property
    def peak_at_second_layer(self) -> Bytes:
        """In use in the second layer's backward pass, while the float32 gradients of the third are reduced."""
        return (
            self.held
            + (0 if self.accumulation > 1 else self.gradients_behind)
            + self.backward_values
            + self.backward_buffers
            + (4 * self.trained_layer if self.gpus > 1 and self.layers > 2 else 0)
            + 2 * self.layer_kept
            + self.layer_recomputed
        )

    @cached_property
    def peak_at_root(self) -> Bytes:
        """In use where the gradients of embedding, last norm and head are reduced, at the end."""
        return self.weights + self.optimizer_state + self.gradients + self.gathered_root + 4 * self.trained_root

    @cached_property
    def peak(self) -> Bytes:
        """The most memory that tensors take at any of these moments."""
        return max(
            self.peak_at_start,
            self.peak_in_forward,
            self.peak_at_loss,
            self.peak_at_last_layer,
            self.peak_at_second_layer,
            self.peak_at_root,
        )

    @cached_property
    def room(self) -> Bytes:
        """The memory of this GPU that tensors may take."""
        return self.usable * self.memory
