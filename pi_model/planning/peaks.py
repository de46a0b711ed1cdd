"""The moments of a training step at which memory may be at its peak, and the largest of them."""

from functools import cached_property

from pi_model.planning.formulas import Bytes
from pi_model.planning.memory import Memory


class Peaks(Memory):
    """The memory in use on one GPU at eight moments of a step.

    One GPU alone gathers and reduces nothing: each gradient is float32 as soon as it is there. With several, what
    arrives is in memory beside what it is unpacked into, and in the forward pass the next layer arrives while one
    computes.
    """

    @cached_property
    def held(self) -> Bytes:
        """What a GPU holds all through a step; gradients only where they accumulate over forward passes."""
        return self.weights + self.optimizer_state + self.rotary + (self.gradients if self.accumulation > 1 else 0)

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
        """In the backward pass: a layer, the layer before it, and the head with its gradient."""
        return (
            self.gathered_root
            + self.head_gradient * (1 if self.gpus == 1 else self.width / 4)
            + 2 * self.gathered_layer
        )

    @cached_property
    def mlp_gradients(self) -> Bytes:
        """The gradients inside one MLP with that of its last weight, and its product where that was not saved."""
        return self.micro_tokens * self.width * (
            self.hidden + self.intermediate * (3 if self.adapted and "down_proj" not in self.adapted else 2)
        ) + (0 if self.adapted else self.width * self.hidden * self.intermediate)

    @cached_property
    def attention_gradients(self) -> Bytes:
        """Where GPUs share windows: a layer's gradients in its attention, beyond what its MLP has freed by then.

        The gradients of the keys and values of whole windows are there one and a half times while those of a piece are
        added to those of the other.
        """
        return (
            1.5 * self.window_keys
            + self.micro_tokens * (self.width * (self.hidden + 1.5 * self.queries) - 4 * self.hidden)
            - self.micro_tokens * self.width * (3 if self.adapted else 4) * self.intermediate
            + self.width * self.trained_layer
            if self.context_parallel > 1
            else 0
        )

    @cached_property
    def layer_backward(self) -> Bytes:
        """In a layer's backward pass: what is saved of it and made again, and gradients; at last all of its weights'.

        By then its first norm is left, with float32 gradients and what they are made from.
        """
        return max(
            self.layer_kept + self.layer_recomputed + self.mlp_gradients,
            self.layer_kept + self.layer_recomputed + self.attention_gradients,
            26 * self.micro_tokens * self.hidden + self.width * self.trained_layer,
        )

    @cached_property
    def peak_at_last_norm(self) -> Bytes:
        """In use in the backward pass of the last norm, when the last layer alone is gathered."""
        return (
            self.held
            + self.all_kept
            + (20 if self.adapted else 24) * self.micro_tokens * self.hidden
            + self.backward_buffers
            - self.gathered_layer
        )

    @cached_property
    def peak_at_last_layer(self) -> Bytes:
        """In use in the last layer's backward pass, the first to run."""
        return self.held + (self.layers - 1) * self.layer_kept + self.layer_backward + self.backward_buffers

    @cached_property
    def reduced_layer(self) -> Bytes:
        """The float32 gradients of a layer that are reduced behind the next layer's backward pass."""
        return 4 * self.trained_layer if self.gpus > 1 and self.layers > 1 else 0

    @cached_property
    def layer_gradients(self) -> Bytes:
        """A GPU's share of a layer's float32 gradients, where they do not add to those of a forward pass before."""
        return 4 * self.trained_layer / self.gpus if self.accumulation <= 1 else 0

    @cached_property
    def peak_at_next_layer(self) -> Bytes:
        """In use in the backward pass of the last layer but one, where most layers are still kept."""
        return (
            self.peak_at_last_layer
            + self.reduced_layer
            + self.layer_gradients
            - (self.layer_kept if self.layers > 1 else 0)
        )

    @cached_property
    def peak_at_second_layer(self) -> Bytes:
        """In use in the second layer's backward pass, where most gradients are there."""
        return (
            self.held
            + max(self.layers - 2, 0) * self.layer_gradients
            + self.layer_kept
            + self.layer_backward
            + self.backward_buffers
            + self.reduced_layer
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
            self.peak_at_last_norm,
            self.peak_at_last_layer,
            self.peak_at_next_layer,
            self.peak_at_second_layer,
            self.peak_at_root,
        )

    @cached_property
    def room(self) -> Bytes:
        """The memory of this GPU that tensors may take."""
        return self.usable * self.memory
