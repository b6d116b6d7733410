#!/usr/bin/env bash
# torchjd 0.18.0: UPGrad of small gradients is their plain mean, conflicts and all.
#
# UPGrad (Quinton and Rey 2024, arXiv:2406.16232) projects each task's gradient onto the cone of directions in which no
# task loses. Projections scale with what is projected, so most expect UPGrad(c * J) = c * UPGrad(J). Here two gradients
# conflict: their mean (0.05, 0.05) makes the second task worse.
#   J           the second task gains
#   J * 1e-2    the same direction
#   J * 1e-3    exactly the mean of the rows: the second task loses
# The default projector sets a Gramian whose trace is below 1e-4 to zero before it projects. It matters because gradients
# at a shared representation are often that small (a mean over a batch, late in training, mixed precision with scaled
# losses): from then on a run reported as UPGrad trains with the sum of losses. Scale the Jacobian to unit size first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.11.0 torchjd==0.18.0 qpsolvers==4.13.0 quadprog==0.1.14 numpy==2.4.6
"$folder/env/bin/python" -W ignore - <<'PY'
import torch
from torchjd.aggregation import UPGrad

jacobian = torch.tensor([[1.0, 0.0], [-0.9, 0.1]])
mean = jacobian.mean(0)
gains = {}
for scale in (1.0, 1e-2, 1e-3):
    direction = UPGrad()(jacobian * scale) / scale
    gains[scale] = (jacobian @ direction)[1].item()
    print(f"J * {scale:<6} direction {direction.tolist()}  gain of the second task {gains[scale]:+.4f}")
assert gains[1.0] > 0 and gains[1e-2] > 0, "torchjd has changed"
assert torch.allclose(direction, mean) and gains[1e-3] < 0, "torchjd has changed"
print("torchjd 0.18.0: as described")
PY
