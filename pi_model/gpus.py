"""The GPUs that a run can be planned on, with the numbers of their vendor's data sheets."""

from dataclasses import dataclass

NODE_GPUS = 8  # GPUs in one machine


@dataclass(frozen=True)
class Gpu:
    """One kind of GPU.

    Attributes:
        name: The name that commands take.
        chip: A part of the name that torch reports.
        memory: Bytes, with the data sheet's giga of 10^9. The driver reports a little more.
        bfloat16: Dense peak in FLOP/s.
        float32: Dense peak in FLOP/s without TF32, as torch multiplies unless it is told otherwise.
        node_link: Bytes/s from the GPUs of the same machine. Data sheets of NVLink give twice as much, because they add
            up both ways.
        cluster_link: Bytes/s from other machines of one network card; the machine named in `source` has one for each
            GPU.
        source: Where the numbers are from.
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


def link(gpu: Gpu, gpus: int) -> float:
    """Bytes/s at which each of many GPUs receives what all of them gather.

    What comes from other machines comes once to a machine, a part through each of its network cards, and goes on to
    its other GPUs inside. So the slower of the two decides: the links inside, or all network cards of a machine
    together.
    """
    machines = -(-gpus // NODE_GPUS)
    return gpu.node_link if machines == 1 else min(gpu.node_link, gpu.cluster_link * gpus / machines)
