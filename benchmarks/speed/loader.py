"""The plain loop of the official example: a DataLoader over single images, Adam, loss.item().

The same network as everybody's; 0 and 2 loader processes are both timed and the better one counts.
"""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from speed import mnist
from speed.worker import Record, Settings, answer


class Images(Dataset[tuple[Tensor, int]]):
    """MNIST one image at a time, turned into a float tensor (1, 28, 28) when asked for."""

    def __init__(self, rows: int) -> None:
        self.x = torch.tensor(mnist.images("train", rows))

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.x[index].unsqueeze(0).float().div(255), 0


class Net(nn.Module):
    """784-512-16-512-784 with ReLU, as the example writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(784, 512), nn.Linear(512, 16), nn.Linear(512, 16)
        self.fc3, self.fc4 = nn.Linear(16, 512), nn.Linear(512, 784)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = F.relu(self.fc1(x.view(-1, 784)))
        mu, log_var = self.fc21(h), self.fc22(h)
        std = torch.exp(0.5 * log_var)
        z = mu + torch.randn_like(std) * std
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, log_var


def loss_function(reconstruction: Tensor, x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    """The sum over the batch of −ELBO."""
    bce = F.binary_cross_entropy(reconstruction, x.view(-1, 784), reduction="sum")
    return bce - 0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())


def train(settings: Settings) -> Record:
    """Images a second after a warm-up epoch, with 0 and with 2 loader processes."""
    data, model = Images(settings["rows"]), Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=settings["lr"])
    seconds = {}
    for pass_, workers in (("warm-up", 0), ("0", 0), ("2", 2)):
        loader = DataLoader(data, settings["batch"], shuffle=True, num_workers=workers)
        started, total = time.perf_counter(), 0.0
        for x, _ in loader:
            optimizer.zero_grad()
            loss = loss_function(*_in_order(model, x))
            loss.backward()
            total += loss.item()
            optimizer.step()
        seconds[pass_] = time.perf_counter() - started
    best = min(("0", "2"), key=lambda w: seconds[w])
    return {"images_per_s": len(data) / seconds[best], "seconds": seconds, "workers": int(best)}


def _in_order(model: Net, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    reconstruction, mu, log_var = model(x)
    return reconstruction, x, mu, log_var


if __name__ == "__main__":
    answer({"train": train})
