"""Turn Lightning's adverts and warnings off, one by one, each with its reason."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

__all__ = ["quiet"]

# What Lightning logs at every start, by how it begins. Anything else that it logs is shown.
LOGGERS = (
    "lightning.pytorch.utilities.rank_zero",
    "lightning.fabric.utilities.rank_zero",
    "lightning.fabric.utilities.distributed",
    "lightning.pytorch",
    "lightning.fabric",
)
ADVERTS = (
    # what is used is in config.json and in the first line of progress
    "GPU available:",
    "TPU available:",
    "HPU available:",
    "Using 16bit",
    "Using bfloat16",
    "You are using a CUDA device",
    "LOCAL_RANK:",
    "Initializing distributed:",
    "----------",
    "distributed_backend=",
    "All distributed processes registered",
    # of other products
    "💡",
    # one epoch is how the harness asks for a number of steps
    "`Trainer.fit` stopped: `max_epochs=1` reached",
    # how often a run is validated was asked for
    "`Trainer(val_check_interval=1)` was configured",
    # the harness says itself what it goes on from, and that it was interrupted
    "Restoring states from the checkpoint path",
    "Restored all states from the checkpoint",
    "Detected KeyboardInterrupt",
    "[rank: ",
)

# Message, category: the reason.
WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    # validation is asked for by giving batches for it
    ("You defined a `validation_step` but have no `val_dataloader`", UserWarning),
    # the harness writes its own loggers' files
    ("The `srun` command is available on your system", UserWarning),
    # devices are asked for by `device`
    ("GPU available but not used", UserWarning),
    ("MPS available but not used", UserWarning),
    # a short run still logs: the harness writes what a step returned
    ("The number of training batches", UserWarning),
    # a part of a network that is frozen or kept in eval mode on purpose is the task's business
    ("Found .* module.* in eval mode at the start of training", UserWarning),
    # Lightning 2.6 calls torch's pytree under its old name
    (".*LeafSpec.* is deprecated", FutureWarning),
    # the batch size only weighs means over validation batches, which are fixed
    ("Trying to infer the `batch_size` from an ambiguous collection", UserWarning),
    # Lightning, about processes' own copies of one number: every process validates the same batches
    ("It is recommended to use `self.log\\(.*sync_dist=True\\)`", UserWarning),
    # a gradient of another layout than its weight is copied between processes, which costs little
    ("Grad strides do not match bucket view strides", UserWarning),
)


@contextmanager
def quiet() -> Iterator[None]:
    """Pass over the messages listed here while a block runs."""

    def is_news(record: logging.LogRecord) -> bool:
        return not record.getMessage().lstrip().startswith(ADVERTS)

    with ExitStack() as stack:
        for name in LOGGERS:
            logger = logging.getLogger(name)
            logger.addFilter(is_news)
            stack.callback(logger.removeFilter, is_news)
        stack.enter_context(warnings.catch_warnings())
        for message, category in WARNINGS:
            warnings.filterwarnings("ignore", message, category)
        yield
