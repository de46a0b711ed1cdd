"""What takes memory on each GPU: weights and training state, under FSDP2 if there are several, activations, and logits.

It is memory as `pi_model.training.sharding` lays it out and `pi_model.training.loss` computes the loss. Tests hold
it against the allocations of real steps on a CPU, and against peaks that were measured on one H100.
"""

from functools import cached_property

from pi_model.planning.formulas import Bytes, Count
from pi_model.planning.givens import Givens


class Memory(Givens):
    """The memory that each part of training takes on one GPU."""

    @cached_property
    def parameters(self) -> Count:
        """Weights of the model, adapters left out."""
        return self.layers * self.layer_parameters + self.root_parameters

    @cached_property
    def trained_layer(self) -> Count:
        """Weights of one layer that are trained."""
        return self.layer_adapters if self.adapted else self.layer_parameters

    @cached_property
    def trained_root(self) -> Count:
        """Weights of the embedding, the last norm and the head that are trained."""
        return 0 if self.adapted else self.root_parameters

    @cached_property
    def trained(self) -> Count:
        """Weights that are trained."""
        return self.layers * self.trained_layer + self.trained_root

    @cached_property
    def micro_tokens(self) -> Count:
        """Tokens in a forward pass of one GPU, which has its part of each window where several share it."""
        return self.micro_batch * self.sequence / self.context_parallel

    @cached_property
    def accumulation(self) -> Count:
        """Forward passes that each GPU makes for one optimiser step."""
        return self.global_batch * self.context_parallel / (self.gpus * self.micro_batch)

    @cached_property
    def weights(self) -> Bytes:
        """A GPU's share of the weights: trained ones in float32, frozen ones in the dtype of the forward pass."""
        return (4 * self.trained + (self.width * self.parameters if self.adapted else 0)) / self.gpus

    @cached_property
    def optimizer_state(self) -> Bytes:
        """A GPU's share of AdamW's two moments of each trained weight, in float32."""
        return 8 * self.trained / self.gpus

    @cached_property
    def gradients(self) -> Bytes:
        """A GPU's share of the gradients, in float32."""
        return 4 * self.trained / self.gpus

    @cached_property
    def gathered_layer(self) -> Bytes:
        """One layer gathered from all GPUs, as it is while it computes; one GPU alone has nothing to gather."""
        return self.width * (self.layer_parameters + self.layer_adapters) if self.gpus > 1 else 0

    @cached_property
    def gathered_root(self) -> Bytes:
        """Embedding, last norm and head gathered from all GPUs; one GPU alone has nothing to gather."""
        return self.width * self.root_parameters if self.gpus > 1 else 0

    @cached_property
    def cast_layer(self) -> Bytes:
        """One layer's float32 weights in the dtype of the forward pass, which one GPU alone keeps with activations."""
        return self.width * self.trained_layer if self.gpus == 1 and self.width == 2 else 0

    @cached_property
    def adapter_saves(self) -> Count:
        """Numbers a token that the adapters of a layer save as their inputs.

        Without dropout, adapters that share an input save it once, and attention's output is saved anyway. With dropout
        each saves what is left of its input and a mask, which on a GPU has one byte a number.
        """
        return (
            (1 + (1 / self.width if self.cuda else 1)) * self.adapter_inputs if self.dropout else self.distinct_inputs
        )

    @cached_property
    def weight_inputs(self) -> Count:
        """Numbers a token that a layer saves for the gradients of its weights alone.

        A weight's gradient needs what the weight was multiplied by. Without adapters these are the normalised form and
        the output of two norms, the normalised form of the norms of queries and keys if there are such, and the product
        inside the MLP. An adapter needs its input and what its A gives.
        """
        return (
            self.rank * self.adapters + self.adapter_saves
            if self.adapted
            else 4 * self.hidden + self.normed + self.intermediate
        )

    @cached_property
    def window_keys(self) -> Bytes:
        """Keys and values of whole windows in one layer, which a GPU gathers where several share them."""
        return 2 * self.micro_batch * self.sequence * self.keys * self.width if self.context_parallel > 1 else 0

    @cached_property
    def sharing_kept(self) -> Bytes:
        """What one layer saves in addition where several GPUs share windows.

        That is the keys and values of the other GPUs, and attention's output once more, because it is put together from
        two pieces. The masks that attention needs on a CPU, and on no GPU, are left out.
        """
        return (
            self.window_keys * (1 - 1 / self.context_parallel) + self.micro_tokens * self.queries * self.width
            if self.context_parallel > 1
            else 0
        )

    @cached_property
    def layer_activations(self) -> Bytes:
        """All that one layer saves for its backward pass if it is not compiled.

        Besides `weight_inputs`: the float32 inputs of all norms; queries, keys, values and the output of attention; the
        log-sum-exp of each head in float32; and the MLP's gate, its SiLU, and up.
        """
        return (
            self.micro_tokens
            * (
                8 * self.hidden
                + 4 * self.normed
                + 4 * self.heads
                + self.width * (2 * self.queries + 2 * self.keys + 3 * self.intermediate + self.weight_inputs)
            )
            + self.sharing_kept
        )

    @cached_property
    def compiled_away(self) -> Bytes:
        """The part of these activations that one layer does not save because it is compiled.

        A compiled norm makes its float32 input and its normalised form again from its input, and the MLP's product is
        made again, too. On one H100 (torch 2.11, bfloat16, one window of 16384 tokens) the peak of a step was lower by
        3.515625 GiB for 30 layers with hidden 576 and intermediate 1536, and by 8 GiB for 16 layers with 2048 and 8192,
        which is this formula to the byte. In float32 it is what torch saves on a CPU.

        Compiled layers together with full checkpointing or with adapters have not been measured on a GPU, and are
        planned as if they were not compiled. A config refuses selective checkpointing of compiled layers.
        """
        return (
            self.micro_tokens * (8 * self.hidden + self.width * self.intermediate)
            if self.compile and self.checkpointing == "none" and self.adapters == 0
            else 0
        )

    @cached_property
    def layer_input(self) -> Bytes:
        """The input of one layer, all that is kept of it with full checkpointing."""
        return self.micro_tokens * self.width * self.hidden

    @cached_property
    def layer_products(self) -> Bytes:
        """The results of one layer's matrix products and attention, kept as well with selective checkpointing."""
        return self.micro_tokens * (
            4 * self.heads
            + self.width
            * (
                2 * self.queries
                + 2 * self.keys
                + 2 * self.hidden
                + 2 * self.intermediate
                + self.rank * self.adapters
                + self.adapter_outputs
            )
        )

    @cached_property
    def layer_kept(self) -> Bytes:
        """What this run keeps of each layer until its backward pass."""
        return (
            self.layer_activations + self.cast_layer - self.compiled_away
            if self.checkpointing == "none"
            else self.layer_input + (self.layer_products if self.checkpointing == "selective" else 0)
        )

    @cached_property
    def layer_recomputed(self) -> Bytes:
        """What this run makes again of one layer at a time, in its backward pass.

        Products that were kept are used up on the way, all but the last, which nothing asks for.
        """
        return (
            0
            if self.checkpointing == "none"
            else self.layer_activations
            + self.cast_layer
            + (self.layer_input - self.layer_products if self.checkpointing == "selective" else 0)
        )

    @cached_property
    def all_kept(self) -> Bytes:
        """What this run keeps of all layers at the end of its forward pass."""
        return self.layers * self.layer_kept

    @cached_property
    def activations(self) -> Bytes:
        """Activations of all layers, with the checkpointing of this run."""
        return self.all_kept + self.layer_recomputed

    @cached_property
    def activations_unchecked(self) -> Bytes:
        """For comparison: activations of all layers without checkpointing, not compiled."""
        return self.layers * self.layer_activations

    @cached_property
    def activations_checked(self) -> Bytes:
        """For comparison: activations of all layers with full checkpointing, not compiled."""
        return self.layers * self.layer_input + self.layer_activations

    @cached_property
    def rotary(self) -> Bytes:
        """The cosines and sines of RoPE, which all layers share."""
        return 2 * self.width * self.sequence / self.context_parallel * self.queries / self.heads

    @cached_property
    def final_activations(self) -> Bytes:
        """What the last norm saves, and the gradient of the loss that enters it."""
        return self.micro_tokens * self.hidden * (4 + (2 if self.adapted else 3) * self.width)

    @cached_property
    def logits(self) -> Bytes:
        """The float32 logits of one block of tokens, what they are made from, and those of the block before."""
        return (12 if self.micro_tokens > self.block else 8) * min(self.block, self.micro_tokens) * self.vocabulary

    @cached_property
    def head_product(self) -> Bytes:
        """One block's share of the head's gradient.

        In float32 it is added in place. In bfloat16 the product is made first, and on a CPU copied to float32.
        """
        return 0 if self.width == 4 or self.adapted else (2 if self.cuda else 6) * self.vocabulary * self.hidden

    @cached_property
    def whole_logits(self) -> Bytes:
        """For comparison: the float32 logits of all tokens at once, and their gradient."""
        return 8 * self.micro_tokens * self.vocabulary

    @cached_property
    def kv_cache(self) -> Bytes:
        """For comparison: the key-value cache of one whole context window in generation."""
        return 2 * self.layers * self.keys * self.width * self.context
