# SPDX-License-Identifier: Apache-2.0
"""A trainer as it stands before fuller: its model returns what both heads give, its losses are summed."""
import torch
import torch.nn.functional as F


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 32), torch.nn.ReLU())
        self.classes = torch.nn.Linear(32, 4)
        self.metres = torch.nn.Linear(32, 1)

    def forward(self, x):
        z = self.trunk(x)
        return self.classes(z), self.metres(z)


torch.manual_seed(1)
model = Model()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
x = torch.randn(256, 16)
label = x[:, 0:4].argmax(1)
distance = 30 + 10 * x[:, 3:4].sin()  # in metres: a squared error hundreds of times a cross entropy

for step in range(201):
    logits, depth = model(x)
    loss = F.cross_entropy(logits, label) + F.mse_loss(depth, distance)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        right = 100 * (logits.argmax(1) == label).float().mean()
        print(f"step {step:3d}   right {right:5.1f} %   squared error {F.mse_loss(depth, distance):8.3f} m2")
