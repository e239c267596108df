"""Graph networks: each node takes in what its neighbours send, by gathers and sums over segments.

A graph is `edge_index`, (2, edges): from which node, to which. Names and keys are those of PyTorch
Geometric.

Source: Kipf, Welling (2017), "Semi-supervised classification with graph convolutional networks";
Veličković et al. (2018), "Graph attention networks"; Hamilton, Ying, Leskovec (2017), "Inductive
representation learning on large graphs" (GraphSAGE).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ambos import nn
from ambos.core.errors import ArgumentError, ShapeError
from ambos.models.building import builder
from ambos.nn import functional as F
from ambos.nn import init
from ambos.tensor.creation import arange, ones, zeros
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import cat, stack
from ambos.tensor.pointwise import where
from ambos.tensor.segments import segment_max, segment_mean, segment_sum

__all__ = ["GAT", "GCN", "GraphSAGE", "gat", "gcn", "sage"]


def with_loops(edge_index: Tensor, nodes: int) -> tuple[Tensor, Tensor, Tensor]:
    """(from, to, counts): the edges and one from each node to itself. Where there was one already
    it does not count; it stays, so that the shape depends on shapes only."""
    own = arange(nodes)
    source, target = cat([edge_index, stack([own, own])], axis=1)
    edges = edge_index.shape[1]
    counts = cat([edge_index[0] != edge_index[1], ones(nodes, dtype="bool")])
    assert counts.shape[0] == edges + nodes
    return source, target, counts


class GCNConv(nn.Module):
    """A linear layer, then sums over neighbours, scaled by the roots of both degrees.

    Shapes: (nodes, in_channels) and (2, edges), with weights (edges,) or not, to (nodes,
        out_channels).
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__()
        self.register_parameter("bias", nn.Parameter(zeros(out_channels)) if bias else None)
        self.lin = nn.Linear(in_channels, out_channels, bias=False)
        init.xavier_uniform_(self.lin.weight)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        nodes = x.shape[0]
        source, target, counts = with_loops(edge_index, nodes)
        weight = counts.to(x.dtype)
        root = segment_sum(weight, target, nodes).rsqrt()  # at least 1: each node has its loop
        weight = root[source] * weight * root[target]
        found = segment_sum(self.lin(x)[source] * weight[:, None], target, nodes)
        return found if self.bias is None else found + self.bias


class GATConv(nn.Module):
    """A linear layer, then a mean over neighbours, weighted by what node and neighbour agree on.

    `heads` of them at once, joined (`concat`) or averaged.
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        heads: int = 1,
        concat: bool = True,
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.heads, self.concat = heads, concat
        self.negative_slope, self.dropout = negative_slope, dropout
        self.att_src = nn.Parameter(zeros(1, heads, out_channels))
        self.att_dst = nn.Parameter(zeros(1, heads, out_channels))
        outputs = heads * out_channels if concat else out_channels
        self.register_parameter("bias", nn.Parameter(zeros(outputs)) if bias else None)
        self.lin = nn.Linear(in_channels, heads * out_channels, bias=False)
        for weight in (self.lin.weight, self.att_src, self.att_dst):
            init.xavier_uniform_(weight)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        nodes = x.shape[0]
        source, target, counts = with_loops(edge_index, nodes)
        x = self.lin(x).reshape(nodes, self.heads, -1)
        sent, heard = ((x * part).sum(-1) for part in (self.att_src, self.att_dst))
        score = F.leaky_relu(sent[source] + heard[target], self.negative_slope)
        score = where(counts[:, None], score, float("-inf"))
        share = (score - segment_max(score, target, nodes)[target]).exp()
        share = share / segment_sum(share, target, nodes)[target]
        share = F.dropout(share, self.dropout, self.training)
        found = segment_sum(x[source] * share[:, :, None], target, nodes)
        found = found.flatten(1) if self.concat else found.mean(1)
        return found if self.bias is None else found + self.bias


class SAGEConv(nn.Module):
    """A linear layer of the node, and one of the mean over its neighbours."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__()
        self.lin_l = nn.Linear(in_channels, out_channels, bias=bias)
        self.lin_r = nn.Linear(in_channels, out_channels, bias=False)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        source, target = edge_index
        return self.lin_l(segment_mean(x[source], target, x.shape[0])) + self.lin_r(x)


class GraphNetwork(nn.Module):
    """`num_layers` layers with ReLU and dropout between them; without `out_channels` the last is as
    wide as the others, and activated.

    Shapes: (nodes, in_channels) and (2, edges) to (nodes, out_channels).
    Errors: ShapeError for another shape.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int,
        out_channels: int | None = None,
        dropout: float = 0.0,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        widths = [in_channels] + [hidden_channels] * num_layers
        self.ends = out_channels is not None
        if out_channels is not None:
            widths[-1] = out_channels
        self.convs = nn.ModuleList(
            self.conv(inputs, outputs, self.ends and place == num_layers, settings)
            for place, (inputs, outputs) in enumerate(pairwise(widths), 1)
        )

    def conv(self, inputs: int, outputs: int, last: bool, settings: dict[str, Any]) -> nn.Module:
        """One layer."""
        raise NotImplementedError

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        if x.ndim != 2 or edge_index.ndim != 2 or edge_index.shape[0] != 2:
            raise ShapeError(
                f"{type(self).__name__}: got nodes {tuple(x.shape)} and edges "
                f"{tuple(edge_index.shape)}; need (nodes, features) and (2, edges)"
            )
        for place, conv in enumerate(self.convs, 1):
            x = conv(x, edge_index)
            if place < len(self.convs) or not self.ends:
                x = self.dropout(F.relu(x))
        return x


class GCN(GraphNetwork):
    """Graph convolutions (Kipf, Welling, 2017); see GraphNetwork."""

    def conv(self, inputs: int, outputs: int, last: bool, settings: dict[str, Any]) -> nn.Module:
        return GCNConv(inputs, outputs, **settings)


class GAT(GraphNetwork):
    """Graph attention (Veličković et al., 2018), with `heads` that share the channels.

    Errors: ArgumentError unless `heads` divide `hidden_channels`.
    """

    def conv(self, inputs: int, outputs: int, last: bool, settings: dict[str, Any]) -> nn.Module:
        heads = settings.get("heads", 1)
        if not last and outputs % heads:
            raise ArgumentError(f"GAT: {outputs} channels for heads={heads}; need a multiple")
        width = outputs if last else outputs // heads
        return GATConv(inputs, width, concat=not last, **settings)


class GraphSAGE(GraphNetwork):
    """Sample and aggregate, by means (Hamilton, Ying, Leskovec, 2017); see GraphNetwork."""

    def conv(self, inputs: int, outputs: int, last: bool, settings: dict[str, Any]) -> nn.Module:
        return SAGEConv(inputs, outputs, **settings)


@builder
def gcn(in_channels: int = 1433, hidden_channels: int = 16, num_layers: int = 2,
        out_channels: int | None = 7, **settings: Any) -> GCN:  # fmt: skip
    """GCN; the sizes are those of the paper's network for Cora."""
    return GCN(in_channels, hidden_channels, num_layers, out_channels, **settings)


@builder
def gat(in_channels: int = 1433, hidden_channels: int = 64, num_layers: int = 2,
        out_channels: int | None = 7, heads: int = 8, **settings: Any) -> GAT:  # fmt: skip
    """GAT with 8 heads; the sizes are those of the paper's network for Cora."""
    return GAT(in_channels, hidden_channels, num_layers, out_channels, heads=heads, **settings)


@builder
def sage(in_channels: int = 1433, hidden_channels: int = 16, num_layers: int = 2,
         out_channels: int | None = 7, **settings: Any) -> GraphSAGE:  # fmt: skip
    """GraphSAGE with means."""
    return GraphSAGE(in_channels, hidden_channels, num_layers, out_channels, **settings)
