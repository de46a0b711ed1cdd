"""Several ranks: what each reads and writes, how they evaluate together, and how they fail together and in one line."""

import os
import shutil
import warnings
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from pi_model.cli.main import main
from pi_model.distributed import process_group, ranks
from pi_model.training.config import Evaluation, MixturePart
from pi_model.training.run_log import read_log
from tests.forks import FORKS, Forked
from tests.forks import ranks as environments
from tests.model.small_runs import losses, run, small_config, write_documents

RANKS = 3  # the rows of no weight can be shared evenly by three


def _one_rank(config, folder: Path, environment: dict[str, str], report) -> None:
    """What each of the ranks does, one thing after the other in one process, and reports by name."""
    os.environ.update(environment)
    import torch

    from pi_model.errors import RunError
    from pi_model.models import weights
    from pi_model.training import checkpoints, loop

    torch.set_num_threads(1)
    warnings.simplefilter("error")
    rank, found = int(environment["RANK"]), {}

    def raised(work) -> str:
        try:
            work()
        except RunError as error:
            return str(error)
        return "nothing"

    read = []

    class Counted:
        """A file of weights that counts the bytes of what is taken out of it."""

        def __init__(self, *arguments, **options):
            self._file = real(*arguments, **options)

        def __enter__(self):
            return self._file.__enter__()

        def __exit__(self, *error):
            return self._file.__exit__(*error)

        def __getattr__(self, name):
            return getattr(self._file, name)

        def get_tensor(self, name):
            read.append(self._file.get_tensor(name).nbytes)
            return self._file.get_tensor(name)

        def get_slice(self, name):
            return CountedSlice(self._file.get_slice(name))

    class CountedSlice:
        def __init__(self, part):
            self._part = part

        def __getattr__(self, name):
            return getattr(self._part, name)

        def __getitem__(self, rows):
            read.append(self._part[rows].nbytes)
            return self._part[rows]

    real = weights.safe_open
    weights.safe_open = Counted
    found["outcome"] = loop.train(config, folder / "three").steps
    weights.safe_open = real
    found["bytes read"] = sum(read)

    os.chdir(folder / f"node{rank // 2}")
    other = replace(config, data=(MixturePart(name="data.jsonl"),), evaluation=Evaluation())
    found["other data"] = raised(lambda: loop.train(other, folder / "other"))

    hashed = checkpoints.sha256_file

    def full(path):
        if rank == 1:
            raise OSError(28, "No space left on device", str(path))
        return hashed(path)

    checkpoints.sha256_file = full
    short = replace(config, evaluation=Evaluation(), steps=50, checkpoint_every=1)
    found["full disk"] = raised(lambda: loop.train(short, folder / "full"))
    checkpoints.sha256_file = hashed

    def broken() -> None:
        raise RunError("the file is broken")

    with process_group.process_group("cpu"):
        found["turns"] = raised(lambda: ranks.rank_zero_first(broken if rank == 0 else lambda: None))
        found["alone"] = ranks.rank_zero_alone(lambda: [rank, "made"], "it")
    report.put((rank, found))


@pytest.fixture(scope="module")
def three(tiny_folder, tmp_path_factory):
    """The folder of a run by one process and one by three, its config, and what each of the three reports."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("three")
        patch.setenv("PI_MODEL_CACHE", str(folder / "cache"))
        for node, words in (("node0", 120), ("node1", 130)):
            (folder / node).mkdir()
            write_documents(folder / node / "data.jsonl", words=words)
        data = folder / "node0/data.jsonl"
        asked = Evaluation(
            steps=(0, 2), data=str(data), windows=(64,), stride=32, samples=2, passkey_positions=2, passkey_trials=2
        )
        config = small_config(tiny_folder, data, steps=2, global_batch=6, factor=4.0, evaluation=asked)
        assert run(config, folder / "one")[0] == "done"
        report, started = FORKS.Queue(), []
        for environment in environments(RANKS):
            variables = environment | {"PI_MODEL_CACHE": str(folder / "cache")}
            started.append(FORKS.Process(target=_one_rank, args=(config, folder, variables, report)))
            started[-1].start()
        found = dict(report.get(timeout=120) for _ in started)
        for one in started:
            one.join(60)
        return folder, config, [found[rank] for rank in range(RANKS)]


def test_three_ranks_train_measure_and_export_what_one_process_does(three):
    folder, _, found = three
    assert [one["outcome"] for one in found] == [2] * RANKS
    np.testing.assert_allclose(losses(folder / "three"), losses(folder / "one"), rtol=2e-5)
    ours, theirs = (load_file(folder / name / "model/model.safetensors") for name in ("three", "one"))
    assert ours.keys() == theirs.keys()
    for name, weight in theirs.items():
        np.testing.assert_allclose(ours[name], weight, rtol=1e-4, atol=2e-6, err_msg=name)


def test_evaluation_on_shared_layers_is_that_of_one_process(three):
    """At step 0, where the weights are equal, to a millionth of a nat; after training to that of the losses."""
    ours, theirs = (read_log(three[0] / name / "evaluations.jsonl") for name in ("three", "one"))
    for one, other, tolerance in zip(ours, theirs, (1e-6, 2e-5), strict=True):
        assert one["measured_sha256"] == other["measured_sha256"]
        assert one["accuracy"] == other["accuracy"]
        assert one["loss_nats"]["64"] == pytest.approx(other["loss_nats"]["64"], rel=tolerance)


def test_each_rank_reads_its_own_rows_and_no_others(three, tiny_folder):
    read = [one["bytes read"] for one in three[2]]
    whole = sum(weight.nbytes for weight in load_file(tiny_folder / "model.safetensors").values())
    assert sum(read) == whole
    assert max(read) < 0.45 * whole


def test_logs_name_the_slowest_rank_and_have_every_peak(three):
    for line in read_log(three[0] / "three/steps.jsonl"):
        rank = int(line["slowest"].split()[1])
        assert line["own_seconds"][rank] == max(line["own_seconds"])  # two may be equal once rounded
        assert len(line["rank_peak_gib"]) == RANKS
        assert line["peak_gib"] == pytest.approx(max(line["rank_peak_gib"]), abs=1e-3)
    assert "slowest" not in read_log(three[0] / "one/steps.jsonl")[0]


def test_a_rank_that_reads_other_data_is_named_before_the_first_step(three):
    folder, _, found = three
    said = {one["other data"] for one in found}
    assert len(said) == 1
    assert said.pop().startswith("data: rank 2 on ")
    assert not (folder / "other/steps.jsonl").exists()


def test_a_failed_background_write_ends_the_run_soon_with_its_cause(three):
    folder, _, found = three
    said = {one["full disk"] for one in found}
    assert len(said) == 1
    assert "step-00000001: not written: No space left on device; free space there" in said.pop()
    assert len(losses(folder / "full")) < 50
    assert list((folder / "full/checkpoints").iterdir()) == []


def test_what_rank_zero_cannot_load_ends_all_ranks_with_its_words(three):
    assert [one["turns"] for one in three[2]] == ["the file is broken"] * RANKS
    assert [one["alone"] for one in three[2]] == [[0, "made"]] * RANKS


def test_a_usage_error_of_all_ranks_is_told_once(tiny_folder, tmp_path):
    data = write_documents(tmp_path / "d.jsonl")
    words = ["finetune", "--model", tiny_folder, "--context", 128, "--data", data, "steps=1", "global_batch=3"]
    words = [*map(str, words), "--no-evaluation", "--quiet", "--out", str(tmp_path / "out")]
    together = [Forked(main, words, environment=environment).ending for environment in environments(2)]
    first, second = (ending() for ending in together)
    assert (first.code, second.code) == (2, 2)
    assert (first.err.count("\n"), second.err) == (1, "")
    assert "global_batch: 3 windows cannot be shared by 2 processes" in first.err


def _alone(words: list[str]) -> int:
    process_group.MEETING = timedelta(seconds=1)
    return main(words)


LONELY = {
    "leftover": ({"RANK": "0"}, "RANK: is set in the environment, but WORLD_SIZE and MASTER_ADDR and MASTER_PORT not"),
    "no number": (
        {"RANK": "x", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"},
        "RANK: must be a whole number, is 'x' in the environment",
    ),
    "unreachable": (environments(2)[1], "MASTER_ADDR: not all of the 2 processes of this run have met at 127.0.0.1"),
    "others missing": (environments(2)[0], "MASTER_ADDR: not all of the 2 processes of this run have met at 127.0.0.1"),
    "srun": ({"SLURM_NTASKS": "2"}, "SLURM_NTASKS: Slurm started 2 processes that do not know of each other"),
}


def test_a_rank_without_a_run_ends_in_one_line(tmp_path):
    words = ["finetune", "tiny_512_pi", "--out", str(tmp_path / "out")]
    endings = {name: Forked(_alone, words, environment=given) for name, (given, _) in LONELY.items()}
    for name, (_, said) in LONELY.items():
        ended = endings[name].ending()
        assert ended.code in (1, 2), ended
        assert ended.err.count("\n") == 1, ended.err
        assert f"pi-model: error: {said}" in ended.err
    assert not (tmp_path / "out").exists()


def test_nodes_with_caches_of_their_own_are_served_by_their_first_rank(monkeypatch):
    """The order of turns, by a store that a single process plays all ranks with."""
    from torch._C._distributed_c10d import HashStore

    store, order = HashStore(), []
    monkeypatch.setattr(ranks, "_store", lambda: store)
    monkeypatch.setattr(ranks, "world_size", lambda: 4)
    for rank, (node, local) in enumerate([("a", 0), ("a", 1), ("b", 0), ("b", 1)]):
        monkeypatch.setattr(ranks, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(ranks, "_turns", iter([7]))
        monkeypatch.setenv("GROUP_RANK", node)
        monkeypatch.setenv("LOCAL_RANK", str(local))
        before = {key for key in ("turn 7 of rank 0", "turn 7 on node b") if store.check([key])}
        ranks.rank_zero_first(lambda rank=rank: order.append(rank))
        if rank in (1, 2):
            assert before == {"turn 7 of rank 0"}
    assert store.check(["turn 7 on node b"])
    assert not store.check(["turn 7 on node a"])
    assert order == [0, 1, 2, 3]


def test_folders_of_a_run_are_not_left_by_the_rehearsal(three):
    assert {path.name for path in (three[0] / "three").iterdir()} == {
        *("checkpoints", "evaluations.jsonl", "model", "run.json", "steps.jsonl", "tensorboard")
    }
    shutil.rmtree(three[0] / "full")
