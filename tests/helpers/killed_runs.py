"""Runs of the command in a folder with a config, and their end by SIGKILL in mid-epoch."""

import os
import signal
import subprocess
import sys
import time


def started(folder, *words):
    command = [sys.executable, "-m", "mmbert.cli.train", f"resume={folder}", *words]
    with (folder / "log.txt").open("a") as log:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=environment)


def killed_in_mid_epoch(folder):
    """Kills all processes of a run once it has saved in mid-epoch; the samples that each has seen of the epoch."""
    import torch

    process, checkpoint = started(folder), folder / "checkpoints" / "last.ckpt"
    try:
        while process.poll() is None:
            if checkpoint.is_file():
                progress = torch.load(checkpoint, weights_only=True)["loops"]["fit_loop"]
                seen = progress["epoch_loop.batch_progress"]["current"]["ready"]
                if not progress["epoch_loop.batch_progress"]["is_last_batch"] and seen:
                    break
            time.sleep(0.002)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    state = torch.load(checkpoint, weights_only=True)
    return state["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["ready"], state["epoch"]
