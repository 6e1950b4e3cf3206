"""Rows outlive a kill, and are never mixed with those of another run."""

from __future__ import annotations

import json
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vqc.tools.rd.files import OutputFolder
from vqc.tools.rd.rows import LOCAL, ResumeError, RowLog

RUN = {"metrics": ["psnr"], "codecs": {"jpeg": {"version": "1", "options": {"optimize": True}, "settings": [10]}}}


def begin(place, run=RUN, *, resume=False, force=False):
    log = RowLog(OutputFolder(str(place)))
    return log, list(log.start(run, resume=resume, force=force))


def test_rows_are_there_when_the_run_is_continued(tmp_path):
    log, there = begin(tmp_path)
    assert there == []
    rows = [{"codec": "jpeg", "file": f"{n}.png"} for n in range(3)]
    for row in rows:
        log.append(row)  # no close: the process was killed
    assert begin(tmp_path, resume=True)[1] == rows


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(rows=st.lists(st.dictionaries(st.text(), st.integers() | st.text() | st.none()), max_size=5), cut=st.integers(1, 10**6))
def test_a_line_torn_at_any_byte_is_dropped_and_the_rest_kept(tmp_path, rows, cut):
    place = tmp_path / uuid.uuid4().hex
    log, _ = begin(place)
    for row in rows:
        log.append(row)
    whole = (place / LOCAL).read_bytes()
    cut %= len(whole) + 1
    (place / LOCAL).write_bytes(whole[:cut])
    kept = max(whole[:cut].count(b"\n") - 1, 0)
    log, there = begin(place, resume=True)
    expected = [row for row in rows[:kept] if "run" not in row]
    assert there == expected
    log.append({"codec": "next"})
    assert list(log.rows()) == [*expected, {"codec": "next"}]


def test_results_are_not_overwritten_unless_told(tmp_path):
    log, _ = begin(tmp_path)
    log.append({"codec": "jpeg"})
    with pytest.raises(ResumeError, match="--resume"):
        begin(tmp_path)
    assert begin(tmp_path, force=True)[1] == []


@pytest.mark.parametrize(("key", "value"), [("version", "2"), ("options", {"optimize": False})])
def test_rows_of_another_version_or_options_are_not_continued(tmp_path, key, value):
    begin(tmp_path)
    other = json.loads(json.dumps(RUN))
    other["codecs"]["jpeg"][key] = value
    with pytest.raises(ResumeError, match="jpeg"):
        begin(tmp_path, other, resume=True)


def test_rows_of_other_metrics_are_not_continued(tmp_path):
    begin(tmp_path)
    with pytest.raises(ResumeError, match="metrics"):
        begin(tmp_path, {**RUN, "metrics": ["ms-ssim"]}, resume=True)


def test_rows_of_another_medium_are_not_continued(tmp_path):
    begin(tmp_path)
    assert begin(tmp_path, {**RUN, "medium": "picture"}, resume=True)[1] == []
    with pytest.raises(ResumeError, match="of pictures, not sounds"):
        begin(tmp_path, {**RUN, "medium": "sound"}, resume=True)


def test_further_codecs_and_settings_may_join(tmp_path):
    begin(tmp_path)
    more = json.loads(json.dumps(RUN))
    more["codecs"]["jpeg"]["settings"] = [10, 20]
    more["codecs"]["webp"] = {"version": "1", "options": {}, "settings": [5]}
    log, there = begin(tmp_path, more, resume=True)
    assert there == []
    log.append({"codec": "webp"})
    more["codecs"]["webp"]["version"] = "2"
    with pytest.raises(ResumeError, match="webp"):
        begin(tmp_path, more, resume=True)


def test_a_store_of_objects_gets_rows_in_batches():
    pytest.importorskip("fsspec")
    place = f"memory://{uuid.uuid4().hex}"
    log, _ = begin(place)
    log.append({"n": 1})
    log.append({"n": 2})
    log.close()
    log, there = begin(place, resume=True)
    assert there == [{"n": 1}, {"n": 2}]
    log.append({"n": 3})
    log.close()
    assert begin(place, resume=True)[1] == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert begin(place, force=True)[1] == []
