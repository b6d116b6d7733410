"""Which process of a distributed run is this: known without Lightning, also before the process group exists."""

from __future__ import annotations

import os
import sys

#: Environment variables in which launchers (torchrun, Lightning, SLURM, LSF) leave a process's number.
RANK_VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")


def is_rank_zero() -> bool:
    """Whether this process has global rank 0, and therefore writes the files of the run.

    The rank is that of torch's process group; before there is one, a process is the first if no launcher's variable
    gives it another number than 0. torch is not imported for it.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return bool(distributed.get_rank() == 0)
    return all(os.environ.get(name, "0") in ("0", "") for name in RANK_VARIABLES)
