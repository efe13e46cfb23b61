"""Processors from the control group's quota, and the report."""

import torch

from cyclegan_course import environment


def test_quota_of_control_group_version_2(tmp_path):
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    assert environment.usable_cpus(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("50000 100000\n")  # half a processor
    assert environment.usable_cpus(tmp_path) == 1


def test_quota_of_control_group_version_1(tmp_path):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("100000")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert environment.usable_cpus(tmp_path) == 1


def test_no_limit(tmp_path):
    everything = environment.usable_cpus(tmp_path)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert environment.usable_cpus(tmp_path) == everything >= 1
    (tmp_path / "cpu.max").write_text("100000000 100000\n")  # 1000 processors
    assert environment.usable_cpus(tmp_path) == everything


def test_omp_num_threads_wins(monkeypatch):
    before = torch.get_num_threads()
    try:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        assert environment.prepare_threads() == torch.get_num_threads() == 1
        monkeypatch.setenv("OMP_NUM_THREADS", "many")
        assert environment.prepare_threads() == environment.usable_cpus()
    finally:
        torch.set_num_threads(before)


def test_report_names_what_a_helper_asks_for():
    report = environment.report()
    for word in ("python", "torch", "device", "memory", "processors", "free disk"):
        assert word in report
    assert torch.__version__.split("+")[0] in report


def test_missing_packages_and_little_memory_are_said(monkeypatch):
    monkeypatch.setattr(environment, "PACKAGES", ("torch", "no-such-package"))
    monkeypatch.setattr(environment, "total_memory", lambda: 2**30)
    advice = " ".join(environment.advice())
    assert "no-such-package is missing" in advice
    assert "Less than 2 GiB of memory" in advice


def test_old_torch_is_named(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.4.1+cpu")
    assert any("torch 2.4.1+cpu is too old" in line for line in environment.advice())
