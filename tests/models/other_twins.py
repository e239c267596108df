"""Oracles written in torch for networks that torchvision lacks, and what is compared with them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ambos import models
from tests.models.twins import Case


class Graph(nn.Module):
    """Graph networks by dense matrices: what a node takes in is a row of weights."""

    def __init__(self, kind: str, widths: list[int], heads: int = 1) -> None:
        super().__init__()
        self.kind, self.heads = kind, heads
        self.convs = nn.ModuleList()
        for place, (inputs, outputs) in enumerate(pairwise(widths), 2):
            conv, last = nn.Module(), place == len(widths)
            if kind == "sage":
                conv.lin_l = nn.Linear(inputs, outputs)
                conv.lin_r = nn.Linear(inputs, outputs, bias=False)
            elif kind == "gcn":
                conv.bias = nn.Parameter(torch.randn(outputs))
                conv.lin = nn.Linear(inputs, outputs, bias=False)
            else:
                width = outputs if last else outputs // heads
                conv.att_src = nn.Parameter(torch.randn(1, heads, width))
                conv.att_dst = nn.Parameter(torch.randn(1, heads, width))
                conv.bias = nn.Parameter(torch.randn(outputs))
                conv.lin = nn.Linear(inputs, heads * width, bias=False)
            self.convs.append(conv)

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        nodes = len(x)
        near = torch.zeros(nodes, nodes, dtype=x.dtype)
        near.index_put_((edges[1], edges[0]), torch.ones(1, dtype=x.dtype), accumulate=True)
        own = torch.eye(nodes, dtype=x.dtype)
        looped = near * (1 - own) + own
        for place, conv in enumerate(self.convs, 1):
            if self.kind == "sage":
                mean = near @ x / near.sum(1, keepdim=True).clamp(min=1)
                x = conv.lin_l(mean) + conv.lin_r(x)
            elif self.kind == "gcn":
                root = looped.sum(1).rsqrt()
                x = root[:, None] * looped * root @ conv.lin(x) + conv.bias
            else:
                x = self._attend(conv, looped, conv.lin(x), place == len(self.convs))
            if place < len(self.convs):
                x = F.relu(x)
        return x

    def _attend(self, conv: Any, near: Any, x: torch.Tensor, last: bool) -> torch.Tensor:
        heads = x.reshape(len(x), self.heads, -1).transpose(0, 1)
        sent, heard = (
            torch.einsum("hnc,hc->hn", heads, p[0]) for p in (conv.att_src, conv.att_dst)
        )
        score = F.leaky_relu(heard[:, :, None] + sent[:, None, :], 0.2).exp() * near
        out = score / score.sum(2, keepdim=True) @ heads
        return (out.mean(0) if last else out.transpose(0, 1).flatten(1)) + conv.bias


def edges(numbers: np.random.Generator) -> list[np.ndarray]:
    """Without two that are alike; with a loop, and a node that nothing leads to."""
    pairs = [(i, j) for i in range(7) for j in range(6) if i != j] + [(2, 2)]
    return [np.array(pairs)[numbers.permutation(len(pairs))[:17]].T.copy()]


class WaveNet(nn.Module):
    def __init__(self, classes: int, layers: int, stacks: int, inside: int, skip: int) -> None:
        super().__init__()
        self.classes = classes
        self.causal = nn.Conv1d(classes, inside, 2)
        self.blocks = nn.ModuleList()
        for dilation in [2**i for i in range(layers)] * stacks:
            block = nn.Module()
            block.filter = nn.Conv1d(inside, inside, 2, dilation=dilation)
            block.gate = nn.Conv1d(inside, inside, 2, dilation=dilation)
            block.residual, block.skip = nn.Conv1d(inside, inside, 1), nn.Conv1d(inside, skip, 1)
            self.blocks.append(block)
        self.head1, self.head2 = nn.Conv1d(skip, skip, 1), nn.Conv1d(skip, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hot = F.one_hot(x, self.classes).to(self.causal.weight.dtype).mT
        x, total = self.causal(F.pad(hot, (1, 0))), 0
        for block in self.blocks:
            late = F.pad(x, (block.filter.dilation[0], 0))
            out = block.filter(late).tanh() * block.gate(late).sigmoid()
            x, total = x + block.residual(out), total + block.skip(out)
        return self.head2(self.head1(total.relu()).relu())


class VAE(nn.Module):
    def __init__(self, features: int, hidden: int, code: int) -> None:
        super().__init__()
        self.fc1, self.fc21 = nn.Linear(features, hidden), nn.Linear(hidden, code)
        self.fc22, self.fc3 = nn.Linear(hidden, code), nn.Linear(code, hidden)
        self.fc4 = nn.Linear(hidden, features)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        hidden = self.fc1(x).relu()
        mean = self.fc21(hidden)
        return self.fc4(self.fc3(mean).relu()).sigmoid(), mean, self.fc22(hidden)


class Wrapped(nn.Module):
    """Layers under the name that they have elsewhere."""

    def __init__(self, name: str, *layers: nn.Module) -> None:
        super().__init__()
        self.name, self.scale = name, 255 if name == "network" else 1
        self.add_module(name, nn.Sequential(*layers))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.get_submodule(self.name)(x / self.scale)
        return x.flatten() if x.shape[1:] == (1, 1, 1) else x


def generator(nz: int, w: int) -> nn.Module:
    return Wrapped(
        "main",
        nn.ConvTranspose2d(nz, 8 * w, 4, 1, 0, bias=False), nn.BatchNorm2d(8 * w), nn.ReLU(),
        nn.ConvTranspose2d(8 * w, 4 * w, 4, 2, 1, bias=False), nn.BatchNorm2d(4 * w), nn.ReLU(),
        nn.ConvTranspose2d(4 * w, 2 * w, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * w), nn.ReLU(),
        nn.ConvTranspose2d(2 * w, w, 4, 2, 1, bias=False), nn.BatchNorm2d(w), nn.ReLU(),
        nn.ConvTranspose2d(w, 3, 4, 2, 1, bias=False), nn.Tanh(),
    )  # fmt: skip


def discriminator(w: int) -> nn.Module:
    return Wrapped(
        "main",
        nn.Conv2d(3, w, 4, 2, 1, bias=False), nn.LeakyReLU(0.2),
        nn.Conv2d(w, 2 * w, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * w), nn.LeakyReLU(0.2),
        nn.Conv2d(2 * w, 4 * w, 4, 2, 1, bias=False), nn.BatchNorm2d(4 * w), nn.LeakyReLU(0.2),
        nn.Conv2d(4 * w, 8 * w, 4, 2, 1, bias=False), nn.BatchNorm2d(8 * w), nn.LeakyReLU(0.2),
        nn.Conv2d(8 * w, 1, 4, 1, 0, bias=False), nn.Sigmoid(),
    )  # fmt: skip


def q_network() -> nn.Module:
    return Wrapped(
        "network", nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(),
        nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(),
        nn.Linear(512, 6),
    )  # fmt: skip


class ActorCritic(nn.Module):
    def __init__(self, inputs: int, actions: int, w: int) -> None:
        super().__init__()
        for name, outputs in (("critic", 1), ("actor", actions)):
            layers = [nn.Linear(inputs, w), nn.Tanh(), nn.Linear(w, w), nn.Tanh()]
            self.add_module(name, nn.Sequential(*layers, nn.Linear(w, outputs)))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.actor(x), self.critic(x).squeeze(1)


class DiffusionUNet(nn.Module):
    """As in diffusers, written once more: one size of attention, blocks by their keys."""

    def __init__(self, widths: list[int], attends: list[bool], groups: int) -> None:
        super().__init__()
        self.widths, self.groups, time = widths, groups, 4 * widths[0]
        self.conv_in = nn.Conv2d(3, widths[0], 3, 1, 1)
        self.time_embedding = nn.Module()
        self.time_embedding.linear_1 = nn.Linear(widths[0], time)
        self.time_embedding.linear_2 = nn.Linear(time, time)

        def level(pairs: list[tuple[int, int]], attended: int) -> nn.Module:
            found = nn.Module()
            if attended:
                found.attentions = nn.ModuleList(self._attention(pairs[0][1])
                                                 for _ in range(attended))  # fmt: skip
            found.resnets = nn.ModuleList(self._resnet(*pair, time) for pair in pairs)
            return found

        def resample() -> nn.ModuleList:
            part = nn.Module()
            part.conv = nn.Conv2d(width, width, 3, 2) if down else nn.Conv2d(width, width, 3, 1, 1)
            return nn.ModuleList([part])

        self.down_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        before, seen, down = widths[0], [widths[0]], True
        for i, width in enumerate(widths):
            block = level([(before, width)], attends[i])
            seen, before = [*seen, width], width
            if width is not widths[-1]:
                block.downsamplers = resample()
                seen.append(width)
            self.down_blocks.append(block)
        down = False
        for i, width in reversed(list(enumerate(widths))):
            pairs = [(before + seen.pop(), width), (width + seen.pop(), width)]
            block, before = level(pairs, 2 * attends[i]), width
            if i:
                block.upsamplers = resample()
            self.up_blocks.append(block)
        self.mid_block = level([(widths[-1], widths[-1])] * 2, 1)
        self.conv_norm_out = nn.GroupNorm(groups, widths[0], 1e-6)
        self.conv_out = nn.Conv2d(widths[0], 3, 3, 1, 1)

    def _resnet(self, inputs: int, outputs: int, time: int) -> nn.Module:
        part = nn.Module()
        part.norm1 = nn.GroupNorm(self.groups, inputs, 1e-6)
        part.conv1 = nn.Conv2d(inputs, outputs, 3, 1, 1)
        part.time_emb_proj = nn.Linear(time, outputs)
        part.norm2 = nn.GroupNorm(self.groups, outputs, 1e-6)
        part.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        if inputs != outputs:
            part.conv_shortcut = nn.Conv2d(inputs, outputs, 1)
        return part

    def _attention(self, width: int) -> nn.Module:
        part = nn.Module()
        part.group_norm = nn.GroupNorm(self.groups, width, 1e-6)
        part.to_q, part.to_k, part.to_v = (nn.Linear(width, width) for _ in range(3))
        part.to_out = nn.ModuleList([nn.Linear(width, width)])
        return part

    def forward(self, x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        half = self.widths[0] // 2
        angle = timestep[:, None] * torch.exp(-math.log(10000) * torch.arange(half) / (half - 1))
        angle = angle.to(x.dtype)
        time = self.time_embedding.linear_1(torch.cat([angle.sin(), angle.cos()], 1))
        time = F.silu(self.time_embedding.linear_2(F.silu(time)))

        def block(level: Any, place: int, x: torch.Tensor) -> torch.Tensor:
            part = level.resnets[place]
            y = part.conv1(F.silu(part.norm1(x))) + part.time_emb_proj(time)[:, :, None, None]
            y = part.conv2(F.silu(part.norm2(y)))
            x = y + (part.conv_shortcut(x) if hasattr(part, "conv_shortcut") else x)
            if not hasattr(level, "attentions") or place >= len(level.attentions):
                return x
            part = level.attentions[place]
            n, c, h, w = x.shape
            flat = part.group_norm(x).reshape(n, c, h * w).mT
            share = (part.to_q(flat) @ part.to_k(flat).mT / math.sqrt(c)).softmax(-1)
            return x + part.to_out[0](share @ part.to_v(flat)).mT.reshape(n, c, h, w)

        x = self.conv_in(x)
        seen = [x]
        for level in self.down_blocks:
            x = block(level, 0, x)
            seen.append(x)
            if hasattr(level, "downsamplers"):
                x = level.downsamplers[0].conv(F.pad(x, (0, 1, 0, 1)))
                seen.append(x)
        x = block(self.mid_block, 1, block(self.mid_block, 0, x))
        for level in self.up_blocks:
            for place in range(2):
                x = block(level, place, torch.cat([x, seen.pop()], 1))
            if hasattr(level, "upsamplers"):
                doubled = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
                x = level.upsamplers[0].conv(doubled)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


SIZES = {"in_channels": 4, "hidden_channels": 8, "num_layers": 2, "out_channels": 3}
SMALL: dict[str, Case] = {
    "gcn": Case(lambda: models.gcn(**SIZES), lambda: Graph("gcn", [4, 8, 3]), ((7, 4),),
                more=edges),
    "gat": Case(lambda: models.gat(**SIZES, heads=2), lambda: Graph("gat", [4, 8, 3], 2), ((7, 4),),
                more=edges),
    "sage": Case(lambda: models.sage(**SIZES), lambda: Graph("sage", [4, 8, 3]), ((7, 4),),
                 more=edges),
    "wavenet": Case(
        lambda: models.wavenet(classes=8, layers=3, stacks=2, residual_channels=4, skip_channels=6),
        lambda: WaveNet(8, 3, 2, 4, 6), (), more=lambda n: [n.integers(0, 8, (2, 20))],
    ),
    "vae": Case(lambda: models.vae(features=12, hidden=8, code=3), lambda: VAE(12, 8, 3),
                ((4, 12),), training=False),
    "dcgan generator": Case(lambda: models.dcgan_generator(nz=4, ngf=2), lambda: generator(4, 2),
                            ((3, 4, 1, 1),)),
    "dcgan discriminator": Case(lambda: models.dcgan_discriminator(ndf=2), lambda: discriminator(2),
                                ((3, 3, 64, 64),)),
    "dqn": Case(lambda: models.dqn(6), q_network, ((2, 4, 84, 84),)),
    "ppo": Case(lambda: models.ppo(5, 3, hidden=8), lambda: ActorCritic(5, 3, 8), ((4, 5),)),
    "ddpm": Case(
        lambda: models.ddpm_unet(block_out_channels=[8, 12], layers_per_block=1,
                                 attention=[False, True], norm_num_groups=4),
        lambda: DiffusionUNet([8, 12], [False, True], 4), ((2, 3, 8, 8),),
        more=lambda n: [n.integers(0, 1000, 2)],
    ),
}  # fmt: skip
FULL: dict[str, Case] = {
    **{name: SMALL[name] for name in ("gcn", "gat", "sage", "dqn", "ppo", "ddpm")},
    "wavenet": Case(lambda: models.wavenet(), lambda: WaveNet(256, 10, 3, 32, 256), (),
                    more=lambda n: [n.integers(0, 256, (2, 400))]),
    "vae": Case(lambda: undrawn(models.vae()), lambda: VAE(784, 400, 20), ((16, 784),)),
    "dcgan_generator": Case(lambda: models.dcgan_generator(), lambda: generator(100, 64),
                            ((4, 100, 1, 1),)),
    "dcgan_discriminator": Case(lambda: models.dcgan_discriminator(), lambda: discriminator(64),
                                ((4, 3, 64, 64),)),
}  # fmt: skip


def undrawn(vae: Any) -> Any:
    """Its mean for a code, in training too."""
    vae.forward = lambda x: (vae.decode(vae.encode(x)[0]), *vae.encode(x))
    return vae
