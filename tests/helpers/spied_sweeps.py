"""What jobs of a sweep note of the machine, and what they leave behind."""

import json

#: Notes what a job sees of the machine; one of them fails, one is killed.
SPY = """\
import json, os, signal, time
from pathlib import Path
import torch
from pytorch_lightning.callbacks import Callback


class Spy(Callback):
    def on_train_start(self, trainer, module):
        folder = Path(trainer.default_root_dir)
        seen = {
            "began": time.time(), "pid": os.getpid(), "cores": sorted(os.sched_getaffinity(0)),
            "threads": torch.get_num_threads(), "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "epoch": trainer.current_epoch, "step": trainer.global_step,
        }
        (folder / "seen.json").write_text(json.dumps(seen))
        if Path("fail").exists() and folder.name == Path("fail").read_text():
            raise RuntimeError("broken on purpose")
        if Path("die").exists() and folder.name == Path("die").read_text():
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_epoch_start(self, trainer, module):
        folder = Path(trainer.default_root_dir)
        if trainer.current_epoch == 1 and Path("die_once").exists() and folder.name == Path("die_once").read_text():
            Path("die_once").unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_batch_start(self, trainer, module, batch, index):
        folder = Path(trainer.default_root_dir)
        if trainer.global_step == 3 and Path("requeue").exists() and folder.name == Path("requeue").read_text():
            Path("requeue").unlink()
            (folder / "requeued").write_text(str(trainer.global_step))
            os.kill(os.getpid(), signal.SIGUSR2)

    def on_train_end(self, trainer, module):
        path = Path(trainer.default_root_dir) / "seen.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"ended": time.time()}))
"""


def finished(here):
    return sorted(path.parent.name for path in here.glob("sweep/*/metrics.json"))


def error(here, job):
    return json.loads((here / "sweep" / job / "error.json").read_text())
