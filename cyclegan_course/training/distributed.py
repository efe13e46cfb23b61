"""One run on several processes, as torchrun starts them. On one machine, with 2 GPUs:

    torchrun --nproc-per-node 2 -m cyclegan_course train --data painting --out runs/painting

On several machines, the same command on each, with data and `--out` where all of them reach them
(FIRST is the name of one machine, 29400 any free port of it):

    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint FIRST:29400 \\
        -m cyclegan_course train --data /shared/horses --out /shared/runs/horses

The batch of the configuration is that of all processes together, and each takes an equal share of
its rows. Gradients are averaged once a step, after the one backward pass, and the image pool is one
for all. So the run is the same run on any number of processes, up to the rounding of sums, and a
checkpoint goes on with another number.

The first process writes, shows and measures, and its clock counts; the others wait for it in
`Workers.agree`, which is a message between CPUs: no GPU's watchdog runs meanwhile. If one process
fails, it says why; the others find its connection closed and end without a word. What still
hangs after that, in a GPU's collective perhaps, torchrun ends half a minute later. The last
checkpoint is whole in each case.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cyclegan_course import environment
from cyclegan_course.errors import CourseError

# A process that ended is noticed at once, by its closed connection. This is for a silent network,
# and longer than the first process ever measures or writes alone.
PATIENCE = timedelta(minutes=30)

_joins = itertools.count()  # each run of a script has its own names in the store


@dataclass(frozen=True)
class Workers:
    """This process and the others of its run; alone, everything here does nothing."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes, shows and measures; only one does."""
        return self.rank == 0

    def device(self) -> torch.device:
        """Where this process computes, if nobody says otherwise: its own GPU, or the CPU."""
        if self.size == 1:
            return environment.best_device()
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("cpu")

    def share(self, count: int) -> slice:
        """Which of `count` rows of a global batch are this process's.

        Raises:
            CourseError: if they cannot be shared equally.
        """
        each, rest = divmod(count, self.size)
        if rest:
            choices = [str(n * self.size) for n in (each, each + 1) if n > 0]
            raise CourseError(
                f"A batch of {count} cannot be shared equally by {self.size} processes; "
                f"choose batch {' or '.join(choices)}."
            )
        return slice(self.rank * each, (self.rank + 1) * each)

    def gather(self, pictures: Tensor) -> Tensor:
        """The pictures of all processes, (N, ...) from each, in the order of the global batch."""
        if self.size == 1:
            return pictures
        everyone = pictures.new_empty(self.size * len(pictures), *pictures.shape[1:])
        with _in_touch():
            dist.all_gather_into_tensor(everyone, pictures.contiguous())
        return everyone

    def average_gradients(
        self, parameters: Sequence[nn.Parameter], terms: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Replace every gradient by its mean over the processes, in one message.

        Args:
            parameters: the same on every process; those without a gradient are left out.
            terms: scalars that travel with the gradients, loss terms for instance.

        Returns:
            The means of the terms, by name.
        """
        terms = terms or {}
        if self.size == 1:
            return terms
        parts = [parameter.grad for parameter in parameters if parameter.grad is not None]
        parts += [term.detach() for term in terms.values()]
        flat = torch.cat([part.reshape(-1) for part in parts])
        with _in_touch():
            dist.all_reduce(flat)
        flat /= self.size
        means = [
            mean.view(part.shape)
            for mean, part in zip(flat.split([p.numel() for p in parts]), parts, strict=True)
        ]
        gradients = len(parts) - len(terms)
        for part, mean in zip(parts[:gradients], means[:gradients], strict=True):
            part.copy_(mean)
        return dict(zip(terms, means[gradients:], strict=True))

    def agree(self, stop: bool, seconds: float) -> tuple[bool, float]:
        """What all do together: stop if one was asked to; the first one's clock counts.

        Here the others wait while the first one measures or writes.
        """
        if self.size == 1:
            return stop, seconds
        words = torch.tensor([stop, seconds if self.is_first else 0.0], dtype=torch.float64)
        with _in_touch():
            dist.all_reduce(words)
        return bool(words[0] > 0), float(words[1])

    def require_equal(self, **facts: int) -> None:
        """Make sure that all processes start from the same.

        Args:
            facts: whole numbers by name, with _ for a space.

        Raises:
            CourseError: if one differs; every process raises it.
        """
        if self.size == 1:
            return
        mine = torch.tensor([*facts.values()], dtype=torch.int64)
        everyone = torch.empty(self.size * len(mine), dtype=torch.int64)
        with _in_touch():
            dist.all_gather_into_tensor(everyone, mine)
        for name, values in zip(facts, everyone.view(self.size, -1).T.tolist(), strict=True):
            if len(set(values)) > 1:
                raise CourseError(
                    f"The processes of this run differ in their {name.replace('_', ' ')} "
                    f"({', '.join(map(str, values))}); every machine must read the same data and "
                    "the same folder of the run."
                )


@contextmanager
def joined() -> Iterator[Workers]:
    """Join the processes that torchrun started, or be alone.

    At the end all wait until the first one has written everything. If this process fails because
    another one did, it ends with status 1 and no word: the other one says why.

    Raises:
        CourseError: if there are more processes than GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Workers()
        return
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", size))
    on_gpu = torch.cuda.is_available()
    if on_gpu and local_size > torch.cuda.device_count():
        raise CourseError(
            f"This machine has {torch.cuda.device_count()} GPUs for {local_size} processes; start "
            f"at most as many (--nproc-per-node {torch.cuda.device_count()})."
        )
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    _share_processors(local_size)
    with _in_touch():
        store, rank, _ = next(dist.rendezvous("env://", timeout=PATIENCE))
    store = dist.PrefixStore(f"run {next(_joins)}", store)
    # Each tensor by its own way: those of `agree` lie on the CPU whatever the networks do.
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "cpu:gloo"
    try:
        with _in_touch():
            dist.init_process_group(
                backend, store=store, rank=rank, world_size=size, timeout=PATIENCE
            )
        workers = Workers(rank, size)
        yield workers
        workers.agree(False, 0.0)
    except BaseException as error:
        first_to_fail = _first_to_fail(store)
        # With NCCL this may wait for those who failed; there the end of the process does it.
        if dist.is_initialized() and not on_gpu:
            dist.destroy_process_group()
        if isinstance(error, CourseError) and not first_to_fail:
            raise SystemExit(1) from None
        raise
    dist.destroy_process_group()


@contextmanager
def _in_touch() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise CourseError(
            "Another process of this run ended or cannot be reached, so the run ends here; "
            "resume it from its last checkpoint."
        ) from error


def _first_to_fail(store: dist.Store) -> bool:
    """Whether no other process failed before; each may ask once."""
    try:
        return store.add("failed", 1) == 1
    except RuntimeError:  # the store went down with the process that kept it
        return False


def _share_processors(processes: int) -> None:
    """Give torch this process's part of the machine; OMP_NUM_THREADS wins.

    Torchrun writes a 1 there if nobody chose a number, so a 1 from torchrun is no choice.
    """
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    if not chosen or (chosen == "1" and dist.is_torchelastic_launched()):
        torch.set_num_threads(max(1, environment.usable_cpus() // processes))
