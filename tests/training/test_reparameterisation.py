"""The training form is the plain net: whatever is learned, its folded kernels give the same pictures."""

from __future__ import annotations

import torch
from torch.nn import functional

from enhancer.models.architectures.plain import PlainNet, PlainShape
from enhancer.training.reparameterisation import EDGES, FoldedKernel, Reparameterised


def test_a_folded_kernel_does_what_its_branches_do_one_after_the_other() -> None:
    torch.manual_seed(0)
    kernel = FoldedKernel(5, 5).double()
    for parameter in kernel.parameters():
        torch.nn.init.normal_(parameter)
    given = torch.randn(2, 5, 9, 7, dtype=torch.float64)

    wide = functional.conv2d(given, kernel.wide.view(20, 5, 3, 3), padding=1)
    expected = functional.conv2d(wide, kernel.narrow[:, :, None, None])
    expected += functional.conv2d(given, kernel.plain.view(5, 5, 3, 3), padding=1)
    expected += functional.conv2d(given, kernel.point[:, :, None, None])
    strengths = kernel.edges.view(5, 5, len(EDGES))
    for out in range(5):
        for channel in range(5):
            for index, edge in enumerate(EDGES):
                filtered = functional.conv2d(
                    given[:, channel : channel + 1], torch.tensor(edge, dtype=torch.float64)[None, None] / 8, padding=1
                )
                expected[:, out] += strengths[out, channel, index] * filtered[:, 0]
    expected += given

    torch.testing.assert_close(functional.conv2d(given, kernel(), padding=1), expected)


def test_the_training_form_and_the_plain_net_with_folded_weights_agree() -> None:
    torch.manual_seed(0)
    net = PlainNet(PlainShape(8, 2, scale=2))
    module = Reparameterised(net)
    given = torch.rand(1, 3, 11, 13)
    result = module(given)
    plain = PlainNet(PlainShape(8, 2, scale=2))
    plain.load_state_dict(module.folded())
    torch.testing.assert_close(plain(given), result)


def test_started_from_a_net_it_gives_what_the_net_gives() -> None:
    torch.manual_seed(0)
    net = PlainNet(PlainShape(8, 2, scale=3))
    given = torch.rand(1, 3, 10, 10)
    torch.testing.assert_close(Reparameterised(net, started=True)(given), net(given))


def test_learning_reaches_every_branch() -> None:
    torch.manual_seed(0)
    module = Reparameterised(PlainNet(PlainShape(8, 1, conditions=1, fold=2)))
    module(torch.rand(1, 4, 8, 8)).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in module.parameters())
