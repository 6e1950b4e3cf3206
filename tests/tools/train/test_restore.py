"""Shipped weights can be trained on: restoring and exporting again gives what was shipped."""

import torch

from vqc.models.image_net import ImageNet
from vqc.models.restore import restore
from vqc.tools.export import export_halves


def seeded_net():
    torch.manual_seed(4)
    net = ImageNet().eval().requires_grad_(False)
    for parameter in net.parameters():
        parameter += 0.02 * torch.randn_like(parameter)
    return net


def test_export_restore_export_is_the_same():
    encoder, decoder = export_halves(seeded_net())
    net = ImageNet().requires_grad_(False)
    net.load_state_dict(restore(net, encoder, decoder))
    encoder_again, decoder_again = export_halves(net)
    for first, second in ((encoder, encoder_again), (decoder, decoder_again)):
        assert first.keys() == second.keys()
        for key in first:
            a, b = first[key].double(), second[key].double()
            if key.endswith("bias") and first[key].dtype == torch.int32:
                assert (a - b).abs().max() <= 1, key  # float32 holds 24 of the bits
            else:
                assert torch.equal(a, b), key


def test_restored_network_predicts_what_the_original_did():
    net = seeded_net()
    other = ImageNet().requires_grad_(False)
    other.load_state_dict(restore(other, *export_halves(net)))
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    row = torch.tensor([5.0])
    a, b = net(image, row, training_noise=False), other(image, row, training_noise=False)
    assert abs(a["bits"].item() / b["bits"].item() - 1) < 0.02
    assert (a["image"] - b["image"]).abs().mean() < 0.02
