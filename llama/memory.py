"""Memory that this process can still take: the system's, the limit of its container, or the GPU's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

CGROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")  # Linux; other systems have neither
# Names of the files and counters of a control group: limit, use, and the part of the use that the system can take back.
VERSION_2 = ("memory.max", "memory.current", ("inactive_file", "active_file"))
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file"))


def available_memory(device: torch.device) -> int | None:
    """Bytes that can still be allocated on `device` without swapping; None where that is not known (Metal)."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    if device.type != "cpu":
        return None
    return min([psutil.virtual_memory().available, *_cgroup_available(CGROUPS, MEMBERSHIP)])


def _cgroup_available(root: Path, membership: Path) -> Iterator[int]:
    """What each control group of this process leaves, in both versions of Linux' control groups. psutil does not look there."""
    for line in membership.read_text().splitlines() if membership.is_file() else ():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _groups_available(root, path, *VERSION_2)
        elif "memory" in controllers.split(","):
            yield from _groups_available(root / "memory", path, *VERSION_1)


def _groups_available(root: Path, path: str, limit: str, use: str, reclaimable: tuple[str, ...]) -> Iterator[int]:
    """The group's and its parents'; inside a container the path may be the host's, and `root` is the container's own group."""
    group = root / path.lstrip("/")
    for folder in (group, *(parent for parent in group.parents if parent.is_relative_to(root))):
        files = [folder / name for name in (limit, use, "memory.stat")]
        if all(file.is_file() for file in files):
            maximum, used, stat = (file.read_text() for file in files)
            if maximum.strip() != "max":
                counters = dict(line.split() for line in stat.splitlines())
                cache = sum(int(counters.get(name, 0)) for name in reclaimable)
                yield max(0, int(maximum) - int(used) + cache)
