# SPDX-License-Identifier: Apache-2.0
"""The module against mathematics written out in numpy's float64, its refusals, and what else a trainer in Python brings along."""
import io
import os
import tempfile
import unittest

import fuller
import numpy as np
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

torch.set_num_threads(1)
ERRORS = (ValueError, RuntimeError)  # the engine of Python's backward makes RuntimeErrors of what is thrown inside it


class Network(nn.Module):
    """A trunk of two layers, the second of which is the last shared one, and two heads."""

    def __init__(self, dtype=torch.float64):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(8, 6), nn.Linear(6, 5)
        self.a, self.b = nn.Linear(5, 1), nn.Linear(5, 2)
        self.to(dtype)
        self.x = torch.randn(32, 8, dtype=dtype)
        self.y_a, self.y_b = torch.randn(32, 1, dtype=dtype), torch.randn(32, 2, dtype=dtype)

    def trunk(self, x):
        return self.last(torch.tanh(self.first(x)))

    def losses(self, z_a, z_b):
        return [(self.a(z_a) - self.y_a).pow(2).mean(), 100 * (self.b(z_b) - self.y_b).pow(2).mean()]

    def step(self, calibration, **fork):
        self.zero_grad()
        loss = calibration.sum(self.losses(*calibration.fork(self.trunk(self.x), **fork)))
        loss.backward()
        return loss

    def numbers(self):
        return {name: p.detach().double().numpy() for name, p in self.named_parameters()}

    def gradients(self):
        return {name: p.grad.double().numpy() for name, p in self.named_parameters()}


def by_hand(net):
    """For each task, the gradients of its loss in numpy, by the chain rule."""
    p = net.numbers()
    x = net.x.double().numpy()
    hidden = np.tanh(x @ p["first.weight"].T + p["first.bias"])
    z = hidden @ p["last.weight"].T + p["last.bias"]
    tasks = []
    for head, target, factor in (("a", net.y_a, 1), ("b", net.y_b, 100)):
        error = z @ p[f"{head}.weight"].T + p[f"{head}.bias"] - target.double().numpy()
        of_out = 2 * factor * error / error.size
        of_z = of_out @ p[f"{head}.weight"]
        of_hidden = of_z @ p["last.weight"] * (1 - hidden**2)
        tasks.append({f"{head}.weight": of_out.T @ z, f"{head}.bias": of_out.sum(0),
                      "last.weight": of_z.T @ hidden, "last.bias": of_z.sum(0),
                      "first.weight": of_hidden.T @ x, "first.bias": of_hidden.sum(0)})
    return tasks


def imtl_g(gram):
    """Liu et al., Eq. 6: weighted gradients with equal projections on each g_i / |g_i|, weights that add up to 1."""
    raw = np.linalg.solve(gram, np.sqrt(np.diag(gram)))
    return raw / raw.sum()


def gram_of(tasks, names):
    rows = np.stack([np.concatenate([task[name].ravel() for name in names]) for task in tasks])
    return rows @ rows.T


def weighted(tasks, shared, heads):
    total = {}
    for task, on_shared, on_head in zip(tasks, shared, heads):
        for name, gradient in task.items():
            weight = on_head if name.startswith(("a.", "b.")) else on_shared
            total[name] = total.get(name, 0) + weight * gradient
    return total


class Values(unittest.TestCase):
    def assert_gradients(self, net, expected, tolerance):
        found = net.gradients()
        for name, gradient in expected.items():
            error = np.linalg.norm(found[name] - gradient) / np.linalg.norm(gradient)
            self.assertLessEqual(error, tolerance, name)

    def test_imtl_g_in_double(self):
        net, calibration = Network(), fuller.Calibration(fuller.IMTL_G(), ["a", "b"])
        net.step(calibration)
        tasks = by_hand(net)
        weights = imtl_g(gram_of(tasks, ["last.weight"]))
        np.testing.assert_allclose(calibration.diagnostics()["weights"], weights, rtol=1e-10)
        self.assert_gradients(net, weighted(tasks, weights, weights), 1e-10)

    def test_imtl_g_in_float(self):
        net, calibration = Network(torch.float32), fuller.Calibration(fuller.IMTL_G(), ["a", "b"])
        net.step(calibration)
        tasks = by_hand(net)
        weights = imtl_g(gram_of(tasks, ["last.weight"]))
        np.testing.assert_allclose(calibration.diagnostics()["weights"], weights, rtol=1e-4)
        self.assert_gradients(net, weighted(tasks, weights, weights), 1e-4)

    def test_pcgrad_without_a_fork(self):
        net, calibration = Network(), fuller.Calibration(fuller.PCGrad(), ["a", "b"])
        with torch.no_grad():
            net.b.weight[0].copy_(-net.a.weight[0])  # heads that pull z apart
            net.y_b[:, 0].copy_(-net.y_a[:, 0] + 0.5)
        z = net.trunk(net.x)
        calibration.sum(net.losses(z, z)).backward()
        tasks = by_hand(net)
        shared = ["first.weight", "first.bias", "last.weight", "last.bias"]
        gram = gram_of(tasks, shared)
        cosine = gram[0, 1] / np.sqrt(gram[0, 0] * gram[1, 1])
        weights = np.ones(2) if cosine >= 0 else np.array([1 - gram[0, 1] / gram[0, 0], 1 - gram[0, 1] / gram[1, 1]])
        np.testing.assert_allclose(calibration.diagnostics()["weights"], weights, rtol=1e-9)
        self.assert_gradients(net, weighted(tasks, weights, [1, 1]), 1e-9)

    def test_pcgrad_projects_where_there_is_conflict(self):
        x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
        shared = nn.Linear(2, 2, bias=False).double()
        calibration = fuller.Calibration(fuller.PCGrad(), ["a", "b"])
        z = shared(x)[0]
        # dL/dW has one row per output: (1, 0) and (-2, 1) on the first column, whose product is -2.
        calibration.sum([z[0], -2 * z[0] + z[1]]).backward()
        gram = np.array([[1.0, -2.0], [-2.0, 5.0]])
        expected = [1 - gram[0, 1] / gram[0, 0], 1 - gram[0, 1] / gram[1, 1]]
        np.testing.assert_allclose(calibration.diagnostics()["weights"], expected, rtol=1e-12)

    def test_every_rule_weighs_the_gradients_as_it_says(self):
        names = [name for name in fuller.__all__ if name not in ("Calibration", "Constant", "Rule", "__version__", "peak_memory")]
        laws = ("AGM", "CGGM", "MLB", "ModalityGate", "OGM")
        self.assertGreater(len(names), len(laws) + 20)
        for name in names:
            if name in laws:
                continue
            with self.subTest(name):
                net, calibration = Network(), fuller.Calibration(getattr(fuller, name)(), ["a", "b"])
                net.step(calibration)
                seen = calibration.diagnostics()
                self.assertTrue(np.isfinite(seen["weights"]).all())
                self.assert_gradients(net, weighted(by_hand(net), seen["weights"], seen["head_weights"]), 1e-10)

    def test_fair_grad_by_its_equation(self):
        """Ban and Ji, Eq. 3: G w = w^(-1 / alpha), in each task's own unit."""
        net = Network()
        calibration = fuller.Calibration(fuller.FairGrad(alpha=2.0, ridge=1e-12, sum="tasks"), ["a", "b"], surface="last_shared")
        net.step(calibration)
        weights = np.array(calibration.diagnostics()["weights"]) / 2  # as the authors' code, T times the paper's
        gram = gram_of(by_hand(net), ["last.weight"])
        np.testing.assert_allclose(gram @ weights, weights ** (-1 / 2.0), rtol=1e-8)

    def test_options_of_rules_are_their_headers(self):
        with self.assertRaisesRegex(ValueError, "option negative is 'upwards'; it is one of 'signed_shared', 'clamp', 'paper'"):
            fuller.IMTL_G(negative="upwards")
        self.assertRaisesRegex(ValueError, "beta", fuller.Calibration, fuller.DBMTL(beta=2.0), ["a", "b"])
        self.assertRaises(TypeError, fuller.MGDA, alpha=1.0)

    def test_weights_held_between_steps(self):
        net, calibration = Network(), fuller.Calibration(fuller.IMTL_G(), ["a", "b"], every=3)
        for step in range(4):
            net.step(calibration)
            seen = calibration.diagnostics()
            self.assertEqual((seen["held_for"], len(seen["norms"])), (step % 3, 2 if step % 3 == 0 else 0))
            tasks = by_hand(net)
            if step % 3 == 0:
                weights = imtl_g(gram_of(tasks, ["last.weight"]))
            np.testing.assert_allclose(seen["weights"], weights, rtol=1e-10)
            self.assert_gradients(net, weighted(tasks, weights, weights), 1e-10)
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter.sub_(parameter.grad, alpha=0.05)

    def test_memory_layer_by_layer(self):
        net = Network()
        calibration = fuller.Calibration(fuller.IMTL_G(), ["a", "b"], surface="all_shared", memory="layer_by_layer")
        net.step(calibration)
        tasks = by_hand(net)
        weights = imtl_g(gram_of(tasks, ["first.weight", "first.bias", "last.weight", "last.bias"]))
        seen = calibration.diagnostics()
        np.testing.assert_allclose(seen["weights"], weights, rtol=1e-10)
        self.assert_gradients(net, weighted(tasks, weights, weights), 1e-10)
        self.assertEqual((seen["summed"], seen["bytes_kept"]), (False, 2 * 8 * 6 * 8))  # two tasks' of first.weight

    def test_a_loss_stage(self):
        net, calibration = Network(), fuller.Calibration(fuller.Uniform(), ["a", "b"], stage="log")
        losses = [loss.item() for loss in net.losses(*[net.trunk(net.x)] * 2)]
        net.step(calibration)
        np.testing.assert_allclose(calibration.diagnostics()["stage_factors"], 1 / np.array(losses), rtol=1e-12)
        self.assert_gradients(net, weighted(by_hand(net), 1 / np.array(losses), 1 / np.array(losses)), 1e-10)

    def test_a_rule_in_python(self):
        def inverse_norms(gram, losses, present):
            self.assertEqual((len(losses), present), (2, [True, True]))
            return [1 / np.sqrt(gram[i][i]) for i in range(2)]

        net, calibration = Network(), fuller.Calibration(fuller.Rule(inverse_norms), ["a", "b"])
        net.step(calibration)
        tasks = by_hand(net)
        weights = 1 / np.sqrt(np.diag(gram_of(tasks, ["last.weight"])))
        self.assert_gradients(net, weighted(tasks, weights, weights), 1e-10)

    def test_absent_tasks_and_losses_by_name(self):
        net, calibration = Network(), fuller.Calibration(fuller.Constant([0.25, 4.0]), ["a", "b"])
        z_a, z_b = calibration.fork(net.trunk(net.x))
        calibration.sum({"b": net.losses(z_a, z_b)[1]}).backward()
        self.assertEqual(calibration.diagnostics()["conditions"], ["absent", "used"])
        self.assertIsNone(net.a.weight.grad)
        z_a, z_b = calibration.fork(net.trunk(net.x))
        calibration.sum([None, net.losses(z_a, z_b)[1]]).backward()
        self.assertEqual(calibration.diagnostics()["conditions"], ["absent", "used"])

    def test_gate_laws_by_scores(self):
        """OGM, Eq. 4 of Peng et al.: the branch that is ahead is multiplied with 1 - tanh(alpha ratio)."""
        torch.manual_seed(1)
        left, right, fuse = (nn.Linear(3, 2).double(), nn.Linear(3, 2).double(), nn.Linear(4, 2).double())
        x = torch.randn(7, 3, dtype=torch.float64)

        def gradients(calibration):
            branches = [torch.tanh(left(x)), torch.tanh(right(x))]
            if calibration is not None:
                calibration.scores([0.8, 0.4])
                branches = calibration.gate(branches, fuse.weight)
            z = fuse(torch.cat(branches, 1))
            for layer in (left, right, fuse):
                layer.zero_grad()
            if calibration is None:
                z.pow(2).mean().backward()
            else:
                calibration.sum([calibration.fork(z)[0].pow(2).mean()]).backward()
            return [layer.weight.grad.clone() for layer in (left, right, fuse)]

        calibration = fuller.Calibration(fuller.Uniform(), ["a"])
        calibration.modalities(fuller.OGM(alpha=0.3), ["left", "right"])
        plain, gated = gradients(None), gradients(calibration)
        expected = [1 - np.tanh(0.3 * 0.8 / 0.4), 1, 1]
        for before, after, factor in zip(plain, gated, expected):
            torch.testing.assert_close(after, factor * before, rtol=1e-10, atol=0)
        self.assertEqual(calibration.diagnostics()["branch_scores"], [0.8, 0.4])

    def test_gates(self):
        """FULLER's Eq. 5-8 on two branches, against a plain backward of the same weighted loss."""
        alpha, momentum = 0.5, 0.25

        def made():
            torch.manual_seed(3)
            return [nn.Linear(4, 3).double(), nn.Linear(4, 2).double(), nn.Linear(5, 4).double(), nn.Linear(4, 1).double()]

        data = torch.randn(16, 4, dtype=torch.float64)

        def run(calibration):
            first, second, fuse, head = made()
            branches = [first(data), 10 * second(data)]
            if calibration is not None:
                branches = calibration.gate(branches, fuse.weight)
            z = torch.tanh(fuse(torch.cat(branches, 1)))
            if calibration is not None:
                (z,) = calibration.fork(z)
            loss = head(z).pow(2).mean()
            (loss if calibration is None else calibration.sum([loss])).backward()
            return [first, second], fuse

        calibration = fuller.Calibration(fuller.Uniform(), ["only"])
        calibration.modalities(["one", "two"], alpha=alpha, momentum=momentum)
        gated, _ = run(calibration)
        plain, fuse = run(None)
        norms = np.array([fuse.weight.grad[:, :3].norm(), fuse.weight.grad[:, 3:].norm()])
        ratio = norms / norms[::-1]
        gates = momentum + (1 - momentum) * np.where(ratio > 1, 1 - np.tanh(alpha * ratio), 1)
        np.testing.assert_allclose(calibration.diagnostics()["gates"], gates, rtol=1e-10)
        for branch, expected, gate in zip(gated, plain, gates):
            np.testing.assert_allclose(branch.weight.grad, gate * expected.weight.grad, rtol=1e-9)


class Refusals(unittest.TestCase):
    def refused(self, words, call, kind=ValueError):
        with self.assertRaises(kind) as caught:
            call()
        self.assertIn(words, str(caught.exception))

    def test_in_words(self):
        net, calibration = Network(), fuller.Calibration(fuller.IMTL_G(), ["a", "b"])
        self.refused("given twice", lambda: fuller.Calibration(fuller.IMTL_G(), ["a", "a"]))
        self.refused("one of 'last_shared'", lambda: fuller.Calibration(fuller.IMTL_G(), ["a"], surface="last"))
        self.refused("learning_rate", lambda: fuller.Calibration(fuller.GradNorm(learning_rate=-1), ["a", "b"]))
        self.refused("1 losses for 2 tasks", lambda: calibration.sum([net.losses(net.trunk(net.x), net.trunk(net.x))[0]]))
        self.refused("name the modalities first", lambda: calibration.gate([net.x, net.x], net.last.weight))
        z = calibration.fork(net.trunk(net.x))
        self.refused("computed from the fork's output for 'a'", lambda: calibration.sum(net.losses(z[0], z[0])))
        z = calibration.fork(net.trunk(net.x))
        self.refused("no task", lambda: calibration.sum({"c": net.losses(*z)[0]}))
        with self.assertRaises(TypeError):
            calibration.fork("z")

    def test_inside_the_backward(self):
        net, calibration = Network(), fuller.Calibration(fuller.Rule(lambda gram, losses, present: [1.0]), ["a", "b"])
        self.refused("1 weights for 2 tasks", lambda: net.step(calibration), ERRORS)
        calibration = fuller.Calibration(fuller.Rule(lambda gram, losses, present: 1 / 0), ["a", "b"])
        self.refused("division by zero", lambda: net.step(calibration), ERRORS)
        calibration = fuller.Calibration(fuller.IMTL_G(), ["a", "b"], non_finite="throw_error")
        z = calibration.fork(net.trunk(net.x))
        a, b = net.losses(*z)
        self.refused("NaN or infinite", lambda: calibration.sum([a * float("nan"), b]).backward(), ERRORS)

    def test_a_state_of_something_else(self):
        saved = fuller.Calibration(fuller.IMTL_G(), ["a", "b"]).state_dict()
        self.refused("the rule of the saved calibration", lambda: fuller.Calibration(fuller.DWA(), ["a", "b"]).load_state_dict(saved))
        self.refused("the tasks of the saved calibration", lambda: fuller.Calibration(fuller.IMTL_G(), ["a", "c"]).load_state_dict(saved))
        self.refused("holds no calibration", lambda: fuller.Calibration(fuller.IMTL_G(), ["a", "b"]).load_state_dict({}))


class Resuming(unittest.TestCase):
    def train(self, net, calibration, optimizer, steps):
        for _ in range(steps):
            net.step(calibration)
            optimizer.step()

    def resumed(self, save, load):
        """Four steps, and two, a file, two more: the same bits."""
        def made():
            net = Network()
            return net, fuller.Calibration(fuller.GradNorm(), ["a", "b"]), torch.optim.SGD(net.parameters(), lr=1e-3)

        net, calibration, optimizer = made()
        self.train(net, calibration, optimizer, 2)
        where = save(calibration)
        kept = {name: value.clone() for name, value in net.state_dict().items()}
        self.train(net, calibration, optimizer, 2)
        again, calibration_2, optimizer_2 = made()
        again.load_state_dict(kept)
        load(calibration_2, where)
        self.train(again, calibration_2, optimizer_2, 2)
        self.assertEqual(calibration_2.steps(), 4)
        self.assertEqual(calibration.diagnostics()["weights"], calibration_2.diagnostics()["weights"])
        self.assertNotEqual(calibration.diagnostics()["weights"], [1.0, 1.0])
        for p, q in zip(net.parameters(), again.parameters()):
            self.assertTrue(torch.equal(p, q))

    def test_from_a_dictionary_in_a_checkpoint(self):
        def save(calibration):
            file = io.BytesIO()
            torch.save({"calibration": calibration.state_dict()}, file)
            file.seek(0)
            return file
        self.resumed(save, lambda calibration, file: calibration.load_state_dict(torch.load(file, weights_only=True)["calibration"]))

    def test_from_a_file_as_cpp_writes_it(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "calibration.pt")

            def save(calibration):
                calibration.save(path)
                return path
            self.resumed(save, lambda calibration, file: calibration.load(file))


class Beside(unittest.TestCase):
    """What else is in a trainer of PyTorch's: works with the gradients of a plain step, or is refused."""

    def setUp(self):
        torch._dynamo.reset()
        self.net = Network(torch.float32)
        self.calibration = fuller.Calibration(fuller.IMTL_G(), ["a", "b"])
        self.net.step(self.calibration)
        self.expected = self.net.gradients()
        self.net, self.calibration = Network(torch.float32), fuller.Calibration(fuller.IMTL_G(), ["a", "b"])

    def same(self, tolerance=1e-6):
        for name, gradient in self.net.gradients().items():
            error = np.linalg.norm(gradient - self.expected[name]) / np.linalg.norm(self.expected[name])
            self.assertLessEqual(error, tolerance, name)

    def step_with(self, trunk=None, a=None, b=None, **fork):
        net = self.net
        trunk, a, b = (given if given is not None else own for given, own in ((trunk, net.trunk), (a, net.a), (b, net.b)))
        z_a, z_b = self.calibration.fork(trunk(net.x), **fork)
        self.calibration.sum([(a(z_a) - net.y_a).pow(2).mean(), 100 * (b(z_b) - net.y_b).pow(2).mean()]).backward()

    def test_optimizers(self):
        for make in (lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9), lambda p: torch.optim.AdamW(p, lr=1e-3),
                     lambda p: torch.optim.AdamW(p, lr=1e-3, fused=True), lambda p: torch.optim.AdamW(p, lr=1e-3, foreach=True)):
            net, calibration = Network(torch.float32), fuller.Calibration(fuller.IMTL_G(), ["a", "b"])
            optimizer = make(list(net.parameters()))
            first = net.step(calibration).item()
            optimizer.step()
            for _ in range(30):
                last = net.step(calibration).item()
                optimizer.step()
            self.assertLess(last, first)

    def test_grad_scaler(self):
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        optimizer = torch.optim.SGD(self.net.parameters(), lr=1e-3)
        loss = self.calibration.sum(self.net.losses(*self.calibration.fork(self.net.trunk(self.net.x))))
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        self.same()
        scaler.step(optimizer)
        scaler.update()
        before = self.net.last.weight.detach().clone()
        optimizer.zero_grad()
        a, b = self.net.losses(*self.calibration.fork(self.net.trunk(self.net.x)))
        scaler.scale(self.calibration.sum([a * float("inf"), b])).backward()
        scaler.step(optimizer)
        scaler.update()
        self.assertTrue(torch.equal(before, self.net.last.weight))
        self.assertEqual(scaler.get_scale(), 512.0)

    def test_autocast(self):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            self.step_with()
        self.same(tolerance=0.05)

    def test_compiled_heads(self):
        self.step_with(a=torch.compile(self.net.a, backend="aot_eager"), b=torch.compile(self.net.b, backend="aot_eager"))
        self.same()

    def test_compiled_heads_inductor(self):
        self.step_with(a=torch.compile(self.net.a), b=torch.compile(self.net.b))
        self.same()

    def test_compiled_trunk_with_the_layer_named(self):
        self.step_with(trunk=torch.compile(self.net.trunk, backend="aot_eager"), last_shared=[self.net.last.weight])
        self.same()

    def test_compiled_trunk_is_asked_for_the_layer(self):
        with self.assertRaisesRegex(ValueError, "name its parameters"):
            self.step_with(trunk=torch.compile(self.net.trunk, backend="aot_eager"))

    def test_compiled_heads_without_a_fork(self):
        """Two passes through what was compiled for one: torch may have given buffers away, unless it was told to keep them."""
        from torch._functorch import config
        net = self.net

        def run(compiled):
            torch.manual_seed(5)
            calibration = fuller.Calibration(fuller.PCGrad(), ["a", "b"])
            head = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 1))
            z = net.trunk(net.x)
            called = torch.compile(head, backend="aot_eager") if compiled else head
            net.zero_grad()
            calibration.sum([called(z).pow(2).mean(), -net.b(z).pow(2).mean()]).backward()
            return net.last.weight.grad.clone(), head[0].weight.grad.clone()

        with config.patch(donated_buffer=False):
            for found, expected in zip(run(compiled=True), run(compiled=False)):
                torch.testing.assert_close(found, expected)

    def test_checkpointed_heads(self):
        for reentrant in (False, True):
            self.net.zero_grad()
            calibration = self.calibration = fuller.Calibration(fuller.IMTL_G(), ["a", "b"])
            if reentrant:
                calibration.head("a", [self.net.a.weight, self.net.a.bias])
            self.step_with(a=lambda z: checkpoint(self.net.a, z, use_reentrant=reentrant))
            self.same()

    def test_checkpointed_trunk_before_the_last_layer(self):
        net = self.net
        self.step_with(trunk=lambda x: net.last(checkpoint(lambda x: torch.tanh(net.first(x)), x, use_reentrant=False)))
        self.same()

    def test_checkpoint_over_the_last_layer_is_refused(self):
        with self.assertRaisesRegex(ERRORS, "a checkpoint ran its forward again"):
            self.step_with(trunk=lambda x: checkpoint(self.net.trunk, x, use_reentrant=False))

    def test_functions_of_python(self):
        class Same(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x.clone()

            @staticmethod
            def backward(ctx, gradient):
                return gradient

        self.step_with(a=lambda z: Same.apply(self.net.a(z)), trunk=lambda x: self.net.last(Same.apply(torch.tanh(self.net.first(x)))))
        self.same()

    def test_anomaly_mode(self):
        with torch.autograd.detect_anomaly(check_nan=False):
            self.step_with()
        self.same()

    def test_create_graph_is_refused(self):
        loss = self.calibration.sum(self.net.losses(*self.calibration.fork(self.net.trunk(self.net.x))))
        with self.assertRaisesRegex(ERRORS, "create_graph"):
            loss.backward(create_graph=True)

    def test_compiled_autograd_is_refused_by_torch(self):
        import torch._dynamo.compiled_autograd as compiled_autograd
        loss = self.calibration.sum(self.net.losses(*self.calibration.fork(self.net.trunk(self.net.x))))
        with self.assertRaises(RuntimeError), compiled_autograd._enable(torch.compile(backend="eager")):
            loss.backward()

    def test_functorch_is_refused_by_torch(self):
        def loss(parameters):
            z = torch.func.functional_call(self.net.last, parameters, (torch.tanh(self.net.first(self.net.x)),))
            return self.calibration.sum(self.net.losses(*self.calibration.fork(z)))
        with self.assertRaisesRegex(RuntimeError, "functorch"):
            torch.func.grad(loss)(dict(self.net.last.named_parameters()))


if __name__ == "__main__":
    unittest.main(verbosity=2)
