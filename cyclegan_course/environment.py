"""What this machine offers: processors, memory, accelerator, versions."""

import contextlib
import ctypes
import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path

import torch

PACKAGES = (
    "cyclegan-course",
    "torch",
    "torchvision",
    "torchmetrics",
    "safetensors",
    "numpy",
    "pillow",
    "scikit-image",
    "scikit-learn",
    "matplotlib",
    "ipywidgets",
    "jupyterlab",
)


def usable_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Number of processors this process may really use, at least 1.

    In a container (Binder, JupyterHub) Python sees all cores of the host, while the control
    group's quota allows a part of them; more threads than that only wait for each other.

    Args:
        cgroup: where the control group's files lie (version 2, then version 1).
    """
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        cpus = os.cpu_count() or 1
    quota = _cgroup_quota(cgroup)
    return max(1, min(cpus, int(quota))) if quota else cpus


def _cgroup_quota(cgroup: Path) -> float | None:
    """Processors allowed by the control group, None without a limit."""
    try:
        if (cgroup / "cpu.max").exists():
            quota, period = (cgroup / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text(encoding="utf-8")
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text(encoding="utf-8")
        return float(quota) / float(period) if float(quota) > 0 else None
    except (OSError, ValueError):  # no control group, or "max"
        return None


def prepare_threads() -> int:
    """Give torch as many threads as there are usable processors; OMP_NUM_THREADS wins.

    Returns:
        The number of threads.
    """
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    threads = int(wanted) if wanted.isdigit() and int(wanted) > 0 else usable_cpus()
    torch.set_num_threads(threads)
    return threads


def best_device() -> torch.device:
    """The accelerator if torch finds one (CUDA, then Apple's MPS), otherwise the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether this device multiplies bfloat16 matrices faster than float32 ones."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        flags = Path("/proc/cpuinfo")
        return flags.exists() and "avx512_bf16" in flags.read_text(encoding="utf-8")
    return False


def keep_freed_memory() -> bool:
    """Let this process keep freed memory for its next allocations, where glibc manages it.

    By default glibc hands large blocks back to the system at once, and the system clears every
    page again before the next training step touches it. The process then stays at its peak size.

    Returns:
        Whether that was set; elsewhere nothing happens.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    trim_threshold, mmap_threshold = -1, -3  # names of mallopt(3)
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(name, 2**31 - 1) == 1 for name in (trim_threshold, mmap_threshold))


def total_memory() -> int | None:
    """Bytes of memory this process may use (the control group's limit counts), None if unknown."""
    sizes = []
    for file in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            sizes.append(int((Path("/sys/fs/cgroup") / file).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
    with contextlib.suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(sizes) if sizes else None


def versions() -> dict[str, str]:
    """Installed version of every package the course stands on; 'missing' where there is none."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "missing"
    return found


def machine() -> str:
    """One line on the machine, for the record beside a result."""
    device = best_device()
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name()}, {usable_cpus()} CPUs, {platform.system()}"
    processor = platform.machine()
    bf16 = " with avx512_bf16" if has_fast_bfloat16(torch.device("cpu")) else ""
    accelerator = "Apple GPU" if device.type == "mps" else "no GPU"
    return f"{usable_cpus()} CPUs {processor}{bf16}, {accelerator}, {platform.system()}"


def report() -> str:
    """The environment report that a learner pastes into a question: plain text, one fact a line."""
    device = best_device()
    memory = total_memory()
    free_disk = shutil.disk_usage(Path.cwd()).free
    lines = [
        f"system        {platform.system()} {platform.release()} {platform.machine()}",
        f"python        {platform.python_version()} ({sys.implementation.name})",
        f"device        {device.type}"
        + (f" ({torch.cuda.get_device_name()})" if device.type == "cuda" else ""),
        f"bfloat16      {'fast' if has_fast_bfloat16(device) else 'not faster here'}",
        f"processors    {usable_cpus()} usable, torch uses {torch.get_num_threads()} threads",
        f"memory        {memory / 2**30:.1f} GiB" if memory else "memory        unknown",
        f"free disk     {free_disk / 2**30:.1f} GiB",
    ]
    lines += [f"{name:<13} {version}" for name, version in versions().items()]
    return "\n".join([*lines, "", *advice()])


def advice() -> list[str]:
    """Sentences on what is wrong with this machine and what to do; one good word if nothing is."""
    found = versions()
    problems = [
        f"{name} is missing: install the course again with its dependencies."
        for name, version in found.items()
        if version == "missing" and name != "cyclegan-course"
    ]
    if tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2]) < (2, 11):
        problems.append(f"torch {torch.__version__} is too old: the course needs 2.11 or newer.")
    memory = total_memory()
    if memory and memory < 2 * 2**30:
        problems.append("Less than 2 GiB of memory: close other notebooks before you train.")
    if shutil.disk_usage(Path.cwd()).free < 2**30:
        problems.append("Less than 1 GiB of disk is free: training runs may not be saved.")
    return problems or ["Everything the course needs is here."]
