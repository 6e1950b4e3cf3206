"""Work on a Ray cluster: the same results as on one machine, also when a node dies in the middle."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from vqc.batch import Job, Outcome, execute
from vqc.tools.cluster import run_on_ray

# Read when ray is imported: else it puts the address of the network card in the place of the loopback.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore")


# The nodes cannot import this module.
importlib.import_module("ray.cloudpickle").register_pickle_by_value(sys.modules[__name__])


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "no-such-host.invalid:6379", "127.0.0.1:99999"])
def test_an_address_where_nobody_answers_is_told_at_once(address):
    start = time.monotonic()
    with pytest.raises(ConnectionError, match="no Ray cluster answers at"):
        list(run_on_ray(None, [], address))
    assert time.monotonic() - start < 60


class TwoNodes:
    """A real cluster of this machine: a head and a second node, each a set of processes of its own, on the loopback alone."""

    def __init__(self):
        from ray.cluster_utils import Cluster

        settings = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "node_ip_address": "127.0.0.1"}
        settings["include_dashboard"] = False
        self.cluster = Cluster(initialize_head=True, head_node_args=settings)
        # Connected before there is a second node, so that this process belongs to the one that stays.
        ray.init(address=self.cluster.address, log_to_driver=False, logging_level="ERROR", _node_ip_address="127.0.0.1")
        self._settings, self.second = settings, None
        self.restore()

    def restore(self):
        if self.second is None:
            self.second = self.cluster.add_node(**self._settings)

    def kill_second(self):
        self.cluster.remove_node(self.second, allow_graceful=False)
        self.second = None

    def close(self):
        ray.shutdown()
        self.cluster.shutdown()


@pytest.fixture(scope="module")
def cluster():
    nodes = TwoNodes()
    yield nodes
    nodes.close()


@pytest.fixture
def two_nodes(cluster):
    cluster.restore()
    return cluster


class Slow:
    """Tells on which node it ran, and takes its time; jobs of the second node are still under way when that is killed."""

    def __call__(self, job: Job) -> Outcome:
        time.sleep(0.4)
        node = ray.get_runtime_context().get_node_id()
        return Outcome(job, {"input": job.source, "square": int(job.source) ** 2, "node": node})


def test_a_node_that_dies_in_mid_run_costs_no_result(two_nodes):
    jobs = [Job(str(number)) for number in range(16)]
    outcomes = []
    for outcome in run_on_ray(Slow(), iter(jobs)):
        outcomes.append(outcome)
        if len(outcomes) == 6:
            two_nodes.kill_second()
    assert len({outcome.record["node"] for outcome in outcomes[:6]}) == 2, "only one of the nodes worked before the kill"
    assert all(not outcome.problems for outcome in outcomes)
    assert sorted((o.record["input"], o.record["square"]) for o in outcomes) == sorted((str(n), n**2) for n in range(16))


@pytest.fixture
def drawings(tmp_path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(4):
        rng = np.random.default_rng(seed)
        waves = np.cumsum(rng.normal(0, 3, (96, 128, 3)), axis=1) + np.linspace(40, 200, 128)[None, :, None]
        Image.fromarray(waves.clip(0, 255).astype(np.uint8)).save(folder / f"drawing{seed}.png")
    return folder


def rows_of(report: Path) -> list[tuple]:
    """Everything of a row that is not a measurement of time or memory."""
    rows = [json.loads(line) for line in (report / "rows.jsonl").read_text().splitlines()]
    costs = ("_time", "_memory")
    return sorted(tuple((k, v) for k, v in sorted(row.items()) if not k.endswith(costs)) for row in rows if "run" not in row)


def test_an_evaluation_on_a_cluster_that_loses_a_node_equals_that_of_one_machine(two_nodes, drawings, tmp_path, monkeypatch):
    from vqc.tools.rd import evaluation
    from vqc.tools.rd.command import rd

    arguments = [str(drawings), "--codecs", "jpeg,webp", "--metrics", "psnr", "--points", "5", "--crops", "0", "--quiet"]
    alone = CliRunner().invoke(rd, [*arguments, "--out", str(tmp_path / "alone"), "-j", "1"])
    assert alone.exit_code == 0, alone.output

    def losing_a_node(*call):
        for number, outcome in enumerate(execute(*call)):
            if number == 8:
                two_nodes.kill_second()
            yield outcome

    monkeypatch.setattr(evaluation, "execute", losing_a_node)
    shared = CliRunner().invoke(rd, [*arguments, "--out", str(tmp_path / "shared"), "--ray", "auto"])
    assert shared.exit_code == 0, shared.output
    expected = rows_of(tmp_path / "alone")
    assert len(expected) == 4 * 2 * 5
    assert rows_of(tmp_path / "shared") == expected


def test_encode_and_decode_of_folders_take_the_same_switch(two_nodes, drawings, tmp_path):
    from vqc.cli import vqc

    def run(*arguments):
        done = CliRunner().invoke(vqc, [*map(str, arguments), "--quiet"])
        assert done.exit_code == 0, done.output

    run("encode", drawings, "-o", tmp_path / "alone", "-q", "30")
    run("encode", drawings, "-o", tmp_path / "shared", "-q", "30", "--ray", "auto")
    names = sorted(path.name for path in (tmp_path / "alone").iterdir())
    assert len(names) == 4
    for name in names:
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "shared" / name).read_bytes()
    run("decode", tmp_path / "shared", "-o", tmp_path / "decoded", "--ray", "auto")
    assert len(list((tmp_path / "decoded").glob("*.png"))) == 4

    again = CliRunner().invoke(vqc, ["encode", str(drawings), "-o", str(tmp_path / "shared"), "--ray", "auto"])
    assert again.exit_code == 1
    assert again.output.count("exists already") == 4


def test_a_file_name_caught_by_the_switch_is_refused():
    from vqc.tools.rd.command import rd

    done = CliRunner().invoke(rd, ["--out", "nowhere", "--ray", "photos/", "more/"])
    assert done.exit_code == 2
    assert "--ray goes last" in done.output
