"""GPUs by name, as their vendor's data sheets have them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """One kind of GPU.

    Attributes:
        name: how it is asked for.
        chip: part of the name that torch reports.
        memory: bytes, with the data sheet's giga of 10^9; the driver reports a little more.
        bfloat16, float32: dense peak in FLOP/s, float32 without TF32, as torch multiplies unless told otherwise.
        node_link: bytes/s to the GPUs of the same machine, one way (half of what NVLink sheets add up).
        cluster_link: bytes/s to other machines for each GPU, in the machine named in `source`.
    """

    name: str
    chip: str
    memory: float
    bfloat16: float
    float32: float
    node_link: float
    cluster_link: float
    source: str


_ALL = (
    Gpu("a100-40", "A100", 40e9, 312e12, 19.5e12, 300e9, 25e9, "NVIDIA A100 data sheet (SXM); DGX A100: 8 x 200 Gb/s"),
    Gpu("a100-80", "A100", 80e9, 312e12, 19.5e12, 300e9, 25e9, "NVIDIA A100 data sheet (SXM); DGX A100: 8 x 200 Gb/s"),
    Gpu("l40s", "L40S", 48e9, 362e12, 91.6e12, 32e9, 25e9, "NVIDIA L40S data sheet (PCIe 4); 200 Gb/s a GPU assumed"),
    Gpu("h100", "H100", 80e9, 989e12, 67e12, 450e9, 50e9, "NVIDIA H100 data sheet (SXM); DGX H100: 8 x 400 Gb/s"),
    Gpu("h200", "H200", 141e9, 989e12, 67e12, 450e9, 50e9, "NVIDIA H200 data sheet (SXM); DGX H200: 8 x 400 Gb/s"),
)
GPUS = {gpu.name: gpu for gpu in _ALL}
