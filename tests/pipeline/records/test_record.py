import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.records import record

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    return tmp_path


def made(**metrics):
    return {"schema": record.SCHEMA, "study": "demo", "metrics": metrics}


def test_a_record_reads_back_as_it_was_written(results):
    record.write(made(loss=1.5), record.path_of("demo", live=True))
    assert record.read("demo")["metrics"] == {"loss": 1.5}


@given(json_values)
def test_any_json_value_survives_the_round_trip(value):
    assert record.digest(json.loads(json.dumps(value))) == record.digest(value)


def test_a_missing_record_names_the_command_that_makes_it(results):
    with pytest.raises(record.RecordError, match="python -m experiments demo"):
        record.read("demo")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [('"loss": 1.5', '"loss": 1.4', "changed"), ('"schema": 1', '"schema": 0', "schema"), ("{", "", "cannot be read")],
)
def test_a_tampered_record_is_refused(results, old, new, said):
    path = record.path_of("demo", live=True)
    record.write(made(loss=1.5), path)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(record.RecordError, match=said):
        record.read("demo")


def test_live_records_come_before_recorded_ones(results):
    record.write(made(loss=1), record.path_of("demo", live=False))
    assert record.read("demo")["metrics"]["loss"] == 1
    record.write(made(loss=2), record.path_of("demo", live=True))
    assert record.read("demo")["metrics"]["loss"] == 2


def test_reading_collects_what_was_read_and_prefers_the_label_that_was_asked_for(results):
    for name, loss in {"demo": 1, "demo@other": 2, "plain": 3}.items():
        record.write(made(loss=loss), record.path_of(name, live=True))
    with record.reading("other") as seen:
        assert record.read("demo")["metrics"]["loss"] == 2
        assert record.read("plain")["metrics"]["loss"] == 3
    assert list(seen) == ["demo@other", "plain"]
    assert record.read("demo")["metrics"]["loss"] == 1
    assert record.labels("demo") == ["other"]
    assert record.labels("plain") == []


def test_reading_committed_records_never_looks_at_live_ones(results):
    record.write(made(loss=1), record.path_of("demo", live=False))
    for name in ("demo", "fresh"):
        record.write(made(loss=2), record.path_of(name, live=True))
    with record.reading(committed=True) as seen:
        assert record.read("demo")["metrics"]["loss"] == 1
        with pytest.raises(record.RecordError, match="python -m experiments fresh"):
            record.read("fresh")
    assert seen["demo"]["kept"] == "recorded"


def test_a_failed_write_leaves_the_old_file_and_no_other(results, monkeypatch):
    path = record.path_of("demo", live=True)
    record.write(made(loss=1), path)

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        record.write(made(loss=2), path)
    assert record.read("demo")["metrics"]["loss"] == 1
    assert list(path.parent.iterdir()) == [path]


def test_numbers_that_json_cannot_hold_are_refused(results):
    with pytest.raises(ValueError, match="not JSON compliant"):
        record.write(made(loss=float("nan")), record.path_of("demo", live=True))


def test_the_environment_names_versions_device_and_commit():
    found = record.environment()
    assert found["versions"]["numpy"]
    assert found["device"].startswith("CPU")
    assert 0 < record.peak_memory_gib() < 100
