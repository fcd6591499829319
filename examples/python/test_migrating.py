# SPDX-License-Identifier: Apache-2.0
"""One step as another library's users write it, and with fuller: docs/migrating.md and README.md show these lines, and the gradients are the same."""
import unittest

import fuller
import torch
from torch import nn
from torch.nn.functional import mse_loss

try:
    from torchjd import aggregation
    from torchjd.autojac import jac_to_grad, mtl_backward
except ImportError:
    aggregation = None

torch.set_num_threads(1)
torch.manual_seed(0)
shared = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh())
head_a, head_b = nn.Linear(16, 1), nn.Linear(16, 1)
x = torch.randn(32, 8)
y_a = torch.randn(32, 1)
y_b = 3 * y_a
with torch.no_grad():
    head_b.weight.copy_(-head_a.weight)  # so that the two are in conflict, and the second is louder
trained = [*shared.parameters(), *head_a.parameters(), *head_b.parameters()]


def gradients_of(step):
    for parameter in trained:
        parameter.grad = None
    step()
    return [parameter.grad.clone() for parameter in trained]


def with_torchjd(aggregator):
    z = shared(x)
    losses = [mse_loss(head_a(z), y_a), mse_loss(head_b(z), y_b)]
    mtl_backward(losses, features=z)
    jac_to_grad(shared.parameters(), aggregator)


def with_a_loop():
    z = shared(x)
    losses = [mse_loss(head_a(z), y_a), mse_loss(head_b(z), y_b)]
    over = list(shared.parameters())
    rows = []
    for loss in losses:
        gradients = torch.autograd.grad(loss, over, retain_graph=True)
        rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
    projected = [row.clone() for row in rows]
    for i in range(len(rows)):
        for j in range(len(rows)):
            overlap = projected[i] @ rows[j]
            if j != i and overlap < 0:
                projected[i] -= overlap / (rows[j] @ rows[j]) * rows[j]
    sum(losses).backward()
    for parameter, part in zip(over, sum(projected).split([parameter.numel() for parameter in over])):
        parameter.grad = part.view_as(parameter)


def with_fuller(calibration):
    z_a, z_b = calibration.fork(shared(x))
    loss = calibration.sum([mse_loss(head_a(z_a), y_a), mse_loss(head_b(z_b), y_b)])
    loss.backward()


def by_name(calibration):
    z_a, z_b = calibration.fork(shared(x))
    loss = calibration.sum({"b": mse_loss(head_b(z_b), y_b), "a": mse_loss(head_a(z_a), y_a)})
    loss.backward()


class Migrating(unittest.TestCase):
    def assert_same(self, found, expected):
        for k, (f, e) in enumerate(zip(found, expected)):
            self.assertLessEqual(float((f - e).norm()), 1e-5 * float(e.norm()), f"the gradient of parameter {k}")

    def test_pcgrad_in_a_loop(self):
        expected = gradients_of(with_a_loop)
        calibration = fuller.Calibration(fuller.PCGrad(), ["a", "b"], surface="all_shared")
        found = gradients_of(lambda: with_fuller(calibration))
        self.assertLess(calibration.diagnostics()["cosines"][1], 0, "there is nothing to project")
        self.assert_same(found, expected)

    def test_losses_by_name(self):
        in_order, named = (fuller.Calibration(fuller.IMTL_G(), ["a", "b"]) for _ in range(2))
        self.assert_same(gradients_of(lambda: by_name(named)), gradients_of(lambda: with_fuller(in_order)))

    @unittest.skipIf(aggregation is None, "there is no torchjd")
    def test_torchjd(self):
        for aggregator, rule in [
            (aggregation.IMTLG(), fuller.IMTL_G()),
            (aggregation.PCGrad(), fuller.PCGrad()),
            (aggregation.ConFIG(), fuller.ConFIG()),
            (aggregation.AlignedMTL(), fuller.AlignedMTL(sum="one")),
            (aggregation.MGDA(), fuller.MGDA()),
            (aggregation.Sum(), fuller.Uniform()),
        ]:
            with self.subTest(str(aggregator)):
                calibration = fuller.Calibration(rule, ["a", "b"], surface="all_shared", apply_to="shared_only")
                expected = gradients_of(lambda: with_torchjd(aggregator))
                self.assert_same(gradients_of(lambda: with_fuller(calibration)), expected)


if __name__ == "__main__":
    unittest.main(verbosity=2)
