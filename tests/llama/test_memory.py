"""Available memory: the smallest of what the system and each control group of the process leave."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import torch

from llama import memory


def group(folder: Path, limit: str, used: int, names: tuple[str, str] = ("memory.max", "memory.current"), stat: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(stat)


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a made-up system's control groups."""
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "MEMBERSHIP", tmp_path / "membership")
    return tmp_path / "cgroup"


def available() -> int:
    result = memory.available_memory(torch.device("cpu"))
    assert result is not None
    return result


def test_without_control_groups_it_is_the_systems(system: Path) -> None:
    assert 0.5 < available() / psutil.virtual_memory().available < 2


def test_the_smallest_group_decides_and_its_cache_can_be_taken_back(system: Path) -> None:
    (system.parent / "membership").write_text("0::/user/job\n")
    group(system / "user", "5000", 1000)
    group(system / "user" / "job", "max", 900)
    assert available() == 4000
    group(system / "user" / "job", "3000", 2500, stat="anon 2000\ninactive_file 300\nactive_file 200\n")
    assert available() == 1000
    group(system / "user" / "job", "3000", 3500)
    assert available() == 0


def test_inside_a_container_the_path_is_the_hosts(system: Path) -> None:
    (system.parent / "membership").write_text("0::/docker/0123\n")
    group(system, "7000", 1000)
    assert available() == 6000


def test_the_first_version_of_control_groups(system: Path) -> None:
    (system.parent / "membership").write_text("3:cpu,cpuacct:/\n2:memory:/docker/0123\n")
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    group(system / "memory", "9000", 5000, names, "total_inactive_file 1500\ntotal_active_file 500\n")
    assert available() == 6000


def test_of_metal_it_is_unknown() -> None:
    assert memory.available_memory(torch.device("mps")) is None
