"""A cluster of two nodes: the output folder is tried out on each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from cluster.resources import alive_nodes
from cluster.storage import check_shared, echo
from recur.errors import StorageError

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_AUTH_MODE", "disabled")
    node = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    head = {**node, "include_dashboard": False, "dashboard_agent_listen_port": 0}
    nodes = Cluster(initialize_head=True, head_node_args=head)
    nodes.add_node(**node, num_gpus=8, dashboard_agent_listen_port=0)
    nodes.wait_for_nodes()
    ray.init(address=nodes.address, log_to_driver=False)
    yield
    ray.shutdown()
    nodes.shutdown()
    patch.undo()


def test_both_nodes_are_seen_with_their_gpus(two_nodes: None) -> None:
    assert sorted(node.gpus for node in alive_nodes()) == [0.0, 8.0]


def test_a_folder_that_every_node_shares_passes_and_is_left_empty(two_nodes: None, tmp_path: Path) -> None:
    check_shared(tmp_path)
    assert list(tmp_path.iterdir()) == []


def _elsewhere(read: str, write: str) -> str | None:
    """What a node sees whose disk is its own: nothing at the same path."""
    return echo(read + ".on-another-disk", write)


def test_a_folder_that_a_node_does_not_share_is_refused_and_left_empty(two_nodes: None, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is not the same folder on node"):
        check_shared(tmp_path, _elsewhere)
    assert list(tmp_path.iterdir()) == []
