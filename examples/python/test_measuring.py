# SPDX-License-Identifier: Apache-2.0
"""What peak_memory() counts, against tensors whose bytes are known."""
import unittest

import fuller
import torch

MEBIBYTE = 1 << 20


def made():
    return torch.zeros(MEBIBYTE // 4)


class PeakMemory(unittest.TestCase):
    def test_counts_what_is_held_at_once(self):
        kept = []

        def both():
            kept.append(made())
            kept.append(made())

        def one_after_the_other():
            first = made()
            del first
            made()

        self.assertEqual(fuller.peak_memory(both), 2 * MEBIBYTE)
        self.assertEqual(fuller.peak_memory(one_after_the_other), MEBIBYTE)
        self.assertEqual(fuller.peak_memory(lambda: None), 0)

    def test_counts_a_backward(self):
        x = torch.ones(MEBIBYTE // 4, requires_grad=True)

        def step():
            product = x * 1.0  # a mebibyte until the step ends, beside x's gradient; the sum is one number, and so is its gradient
            product.sum().backward()

        self.assertEqual(fuller.peak_memory(step) // MEBIBYTE, 2)
        self.assertTrue(torch.equal(x.grad, torch.ones(MEBIBYTE // 4)))

    def test_once_at_a_time(self):
        with self.assertRaisesRegex(ValueError, "already being measured"):
            fuller.peak_memory(lambda: fuller.peak_memory(made))
        self.assertEqual(fuller.peak_memory(made), MEBIBYTE)

    def test_errors_of_the_step_arrive(self):
        def fails():
            raise KeyError("step")

        with self.assertRaises(KeyError):
            fuller.peak_memory(fails)
        self.assertEqual(fuller.peak_memory(made), MEBIBYTE)


unittest.main()
