"""What phantom backends keep for fused kernels, on graphs written by hand."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest

from models.runtime.llama.ggml_abi import Graph, Tensor
from models.runtime.llama.phantom_graph import Nodes, cuda_keeps, metal_keeps

OPS = [
    "NONE",
    "MUL",
    "VIEW",
    "ADD",
    "UNARY",
    "SQRT",
    "RESHAPE",
    "ARGSORT",
    "GET_ROWS",
    "SUM_ROWS",
    "CLAMP",
    "DIV",
    "SCALE",
    "RMS_NORM",
    "SOFT_MAX",
    "CONT",
]
SIGMOID, SOFTPLUS, SILU = 7, 15, 10


class HandMade:
    """A graph of tensors by name, without data."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[str] = []

    def add(
        self,
        name: str,
        op: str,
        *sources: str,
        shape: tuple[int, ...] = (8, 4, 16),
        view_of: str = "",
        parameter: int = 0,
    ) -> None:
        """Add an operation; ``NONE`` is an operand from outside."""
        tensor = Tensor(op=OPS.index(op), ne=(*shape, *(1,) * (4 - len(shape))))
        tensor.op_params[0] = parameter
        for index, source in enumerate(sources):
            tensor.src[index] = self.tensors[source].address
        if view_of:
            tensor.view_src = self.tensors[view_of].address
        self.tensors[name] = tensor
        if op != "NONE":
            self.nodes.append(name)

    def weighted_experts(self, n_experts: int) -> None:
        """Add experts * weights and the sum over the experts."""
        self.add("experts", "NONE", shape=(8, n_experts, 16))
        self.add("weights", "NONE", shape=(1, n_experts, 16))
        self.add("weighted", "MUL", "experts", "weights", shape=(8, n_experts, 16))
        for index in range(n_experts):
            self.add(f"view{index}", "VIEW", "weighted", shape=(8, 16), view_of="weighted")
        left = "view0"
        for index in range(1, n_experts):
            self.add(f"sum{index}", "ADD", left, f"view{index}", shape=(8, 16))
            left = f"sum{index}"

    def router(self, *, gate: int, norm: bool, bias: bool = False) -> None:
        """Add the choice of experts."""
        self.add("logits", "NONE", shape=(64, 16))
        self.add("probabilities", "UNARY", "logits", parameter=gate)
        self.add("reshaped", "RESHAPE", "probabilities")
        if bias:
            self.add("biased", "ADD", "probabilities")
        self.add("sorted", "ARGSORT", "biased" if bias else "probabilities")
        self.add("chosen", "VIEW", "sorted")
        self.add("picked", "GET_ROWS", "reshaped", "chosen")
        if norm:
            for op in ("RESHAPE", "SUM_ROWS", "CLAMP", "DIV", "RESHAPE"):
                self.add(f"norm{len(self.nodes)}", op, self.nodes[-1])

    def read(self) -> Nodes:
        array = (ctypes.c_void_p * len(self.nodes))(
            *(self.tensors[name].address for name in self.nodes)
        )
        graph = Graph(n_nodes=len(self.nodes), nodes=ctypes.addressof(array))
        abi: Any = SimpleNamespace(op_names=OPS)
        return Nodes(ctypes.addressof(graph), abi)

    def names(self, keeps: Any) -> set[tuple[str, str]]:
        by_address = {tensor.address: name for name, tensor in self.tensors.items()}
        return {(by_address[tensor], by_address[until]) for tensor, until in keeps}


@pytest.mark.parametrize("n_experts", [2, 6, 8])
def test_cuda_keeps_experts_and_weights_up_to_their_sum(n_experts: int) -> None:
    graph = HandMade()
    graph.weighted_experts(n_experts)
    last = f"sum{n_experts - 1}"
    assert graph.names(cuda_keeps(graph.read())) == {("experts", last), ("weights", last)}


def test_cuda_keeps_a_second_factor_too() -> None:
    graph = HandMade()
    graph.add("scale", "NONE", shape=(1, 2, 16))
    graph.add("raw", "NONE", shape=(8, 2, 16))
    graph.add("route", "NONE", shape=(1, 2, 16))
    graph.add("scaled", "MUL", "raw", "scale", shape=(8, 2, 16))
    graph.add("weighted", "MUL", "scaled", "route", shape=(8, 2, 16))
    for index in range(2):
        graph.add(f"view{index}", "VIEW", "weighted", shape=(8, 16), view_of="weighted")
    graph.add("sum", "ADD", "view0", "view1", shape=(8, 16))
    kept = {(name, "sum") for name in ("raw", "scale", "route")}
    assert graph.names(cuda_keeps(graph.read())) == kept


def test_cuda_keeps_nothing_of_other_products() -> None:
    graph = HandMade()
    graph.add("x", "NONE")
    graph.add("norm", "NONE", shape=(8,))
    graph.add("product", "MUL", "x", "norm")
    graph.add("sum", "ADD", "product", "x")
    assert graph.names(cuda_keeps(graph.read())) == set()


def test_cuda_keeps_nothing_where_an_expert_is_left_out() -> None:
    graph = HandMade()
    graph.weighted_experts(4)
    graph.nodes.remove("sum3")
    graph.add("other", "CONT", "sum2")
    assert graph.names(cuda_keeps(graph.read())) == set()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("norm", [False, True])
def test_cuda_keeps_the_router_up_to_the_node_behind_it(bias: bool, norm: bool) -> None:
    graph = HandMade()
    graph.router(gate=SIGMOID, norm=norm, bias=bias)
    routing = list(graph.nodes)
    graph.add("after", "CONT", "picked")
    kept = graph.names(cuda_keeps(graph.read()))
    assert {until for _, until in kept} == {"after"}
    assert {name for name, _ in kept} == {*routing, "logits"}


def test_cuda_knows_v4s_gate_and_no_other() -> None:
    graph = HandMade()
    graph.add("logits", "NONE")
    graph.add("softplus", "UNARY", "logits", parameter=SOFTPLUS)
    graph.add("probabilities", "SQRT", "softplus")
    graph.add("reshaped", "RESHAPE", "probabilities")
    graph.add("sorted", "ARGSORT", "probabilities")
    graph.add("chosen", "VIEW", "sorted")
    graph.add("picked", "GET_ROWS", "reshaped", "chosen")
    graph.add("after", "CONT", "picked")
    assert ("logits", "after") in graph.names(cuda_keeps(graph.read()))
    other = HandMade()
    other.router(gate=SILU, norm=False)
    other.add("after", "CONT", "picked")
    assert other.names(cuda_keeps(other.read())) == set()


def test_metal_keeps_outer_operands_of_the_longest_group() -> None:
    graph = HandMade()
    for name in ("x", "factor", "offset"):
        graph.add(name, "NONE")
    graph.add("norm", "RMS_NORM", "x")
    graph.add("product", "MUL", "norm", "factor")
    graph.add("sum", "ADD", "product", "offset")
    assert graph.names(metal_keeps(graph.read())) == {
        ("x", "sum"),
        ("factor", "sum"),
        ("offset", "sum"),
    }


def test_metal_keeps_experts_up_to_eight() -> None:
    graph = HandMade()
    graph.weighted_experts(8)
    kept = graph.names(metal_keeps(graph.read()))
    assert {("experts", "sum7"), ("weights", "sum7")} <= kept


def test_an_empty_graph() -> None:
    assert list(cuda_keeps(HandMade().read())) == []
    assert list(metal_keeps(HandMade().read())) == []
