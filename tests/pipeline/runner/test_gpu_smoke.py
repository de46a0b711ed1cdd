"""The smoke job for a GPU, on a CPU: whether it goes through, and what it does when something is broken."""

import json
import time
from functools import partial

import pytest

from experiments.runner import gpu_queue, gpu_smoke, kernel_trace
from tests.forks import Forked


def results(out):
    return json.loads((out / gpu_smoke.FILE).read_text())["checks"]


@pytest.mark.slow
def test_at_toy_size_everything_is_well_on_a_cpu(tmp_path, monkeypatch):
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "cache"))
    ended = Forked(gpu_queue.main, argv=["--smoke", "--toy", "--device", "cpu", "--out", tmp_path]).ending()
    assert ended.code == 0, ended.out + ended.err
    found = {check["name"]: check for check in results(tmp_path)}
    assert all(check["ok"] for check in found.values())
    assert found["attention, 512 tokens"]["detail"]["forward"] == "none (CPU)"
    assert found["load and forward, bfloat16"]["detail"]["cos"] == "bfloat16"
    assert found["training loop, resumed to 4"]["detail"]["resumed at"] == 2
    assert (tmp_path / "trace-none.json.gz").exists()


def test_a_check_that_breaks_is_named_and_the_others_run(tmp_path, capsys):
    def breaks():
        raise RuntimeError("no kernel\nand more")

    assert gpu_smoke.run({"a": breaks, "b": lambda: {"tokens/s": 123456.0, "kernels": ["long"]}}, tmp_path) == 1
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.split()[:5] == ["a", "BROKEN:", "RuntimeError:", "no", "kernel"]
    assert second.split()[:2] == ["b", "ok"]
    assert second.endswith("tokens/s 123,456")
    assert last.startswith("1 of 2 broken")
    assert [check["ok"] for check in results(tmp_path)] == [False, True]
    assert "breaks" in results(tmp_path)[0]["traceback"]


def test_when_the_time_is_over_the_rest_is_not_run(tmp_path):
    start = time.monotonic()
    wanted = {"a": dict, "hangs": partial(time.sleep, 60), "c": dict}
    ended = Forked(partial(gpu_smoke.run, seconds=3), wanted, tmp_path).ending()
    assert ended.code == 1
    assert time.monotonic() - start < 50
    assert "hangs" in ended.out
    assert "not run" in ended.out.splitlines()[2]
    assert [check["ok"] for check in results(tmp_path)] == [True, False, None]


def test_a_trace_says_where_the_time_of_a_step_goes():
    def event(category, name, start, length):
        return {"cat": category, "name": name, "ts": start, "dur": length}

    step = kernel_trace.STEP
    events = [
        {"ph": "M", "name": "process_name"},
        event("user_annotation", step, 100, 80),
        event("gpu_user_annotation", step, 105, 95),
        event("kernel", "cudnn_generated_sm90_flash_fprop", 110, 30),
        event("kernel", "void pytorch_flash::flash_bwd_kernel<>", 130, 30),  # at the same time for a third
        event("kernel", "nvjet_gemm", 170, 20),
        event("gpu_memcpy", "Memcpy DtoH (Device -> Pageable)", 190, 10),
        event("cpu_op", "aten::_local_scalar_dense", 150, 5),
        event("cuda_runtime", "cudaStreamSynchronize", 151, 3),
        event("cuda_runtime", "cudaDeviceSynchronize", 185, 15),  # after the step
    ]
    found = kernel_trace.step_profile(events, 160e-6)
    assert found["busy"] == pytest.approx(0.8)
    assert found["busy of an untraced step"] == pytest.approx(0.5)
    assert found["host waits"] == 1
    assert found["copies to the host"] == 1
    assert found["attention kernels"] == "cudnn+flash"
    assert found["attention share"] == pytest.approx(0.75)
    assert found["kernel launches"] == 3
