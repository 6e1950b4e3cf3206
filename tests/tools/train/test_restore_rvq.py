"""Shipped weights of the vector quantised model can be trained on: what is restored exports to nearly the same."""

import torch

from vqc.models.compact import unpacked
from vqc.models.rvq_net import RvqNet
from vqc.tools.export_rvq import export_rvq
from vqc.tools.train.restore_rvq import restore_rvq


def real(tensors):
    """Weights and biases as the numbers they stand for: a row whose sum lies at the border may get another shift."""
    tensors = unpacked(tensors)
    shifts = {k.removesuffix(".shift"): v.double() for k, v in tensors.items() if k.endswith(".shift") and "vectors" not in k}
    result = {}
    for key, value in tensors.items():
        shift = shifts.get(key.rpartition(".")[0])
        if shift is None:
            result[key] = value.double()
        elif not key.endswith(".shift"):
            result[key] = value.double() / torch.exp2(shift).view(-1, *[1] * (value.dim() - 1))
    return result


def test_export_restore_export_is_nearly_the_same():
    torch.manual_seed(3)
    net = RvqNet().eval().requires_grad_(False)
    net.slope.uniform_()
    first = export_rvq(net)
    other = RvqNet().eval().requires_grad_(False)
    other.load_state_dict(restore_rvq(other, *first))
    for a, b in zip(first, export_rvq(other)):
        a, b = real(a), real(b)
        assert a.keys() == b.keys()
        for key in a:
            scale = a[key].abs().max().clamp_min(1e-6)
            assert (a[key] - b[key]).abs().max() <= 0.01 * scale, key
