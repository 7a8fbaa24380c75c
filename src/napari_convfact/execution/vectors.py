"""Vector instructions for the fused pass, written in LLVM's own terms.

LLVM does not find vectors by itself where the number of taps is not known when it compiles.
Vectors of 64 bytes are one register with AVX-512; on other processors LLVM splits them.

Numba's cache knows ``fused.py``, whose functions it compiled, by its contents, and would go on
using what it made of an older version of this file: ``fused.py`` names the version, and a test
holds it.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from napari_convfact.execution.tiling import BLOCK_LINES, LINE_BYTES


@intrinsic  # type: ignore[untyped-decorator]
def fetch_block(_context: Any, array: Any, start: Any, to_write: Any) -> Any:
    """Ask for the block of samples from ``array[start]``, which need not exist, to be cached."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        first = builder.gep(_data(context, builder, signature, values, 0), [values[1]])
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte, number, number, number]),
            "llvm.prefetch.p0i8",
        )
        writes, keep, of_data = signature.args[2].literal_value, 3, 1
        flags = [number(int(flag)) for flag in (writes, keep, of_data)]
        for line in range(BLOCK_LINES):
            place = builder.gep(builder.bitcast(first, byte), [number(line * LINE_BYTES)])
            builder.call(function, [place, *flags])
        return context.get_dummy_value()

    # Whether to write is part of the instruction: numba must know it when it compiles.
    if not isinstance(to_write, types.Literal):
        return None
    return types.void(array, start, to_write), generate


@intrinsic  # type: ignore[untyped-decorator]
def weighted_sum(
    _context: Any,
    targets: Any,
    starts: Any,
    at: Any,
    source: Any,
    shift: Any,
    offsets: Any,
    weights: Any,
    ends: Any,
    add: Any,
) -> Any:
    """Write or add weighted sums of shifted samples, a block for each of two targets.

    In numpy's terms, for the samples ``j`` of a block, whose number `block_samples` tells,
    ``targets[g][starts[g] + at + j] = sum(weights[k, g] * source[offsets[k] + shift + j])`` over
    the taps ``k`` of that target. A sample that both targets need is loaded once.

    Parameters
    ----------
    targets : tuple of two arrays
        Contiguous, of the dtype of `source`.
    starts : tuple of two int64
    at : int64
    source : array
    shift : int64
    offsets : int64 array
    weights : array
        ``(n_taps, 2)``, contiguous.
    ends : int64 array of four
        Where the taps begin of the first target alone, those that both have and those of the
        second alone, and where these end.
    add : bool
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        _Block(context, builder, signature, values).generate()
        return context.get_dummy_value()

    arguments = (targets, starts, at, source, shift, offsets, weights, ends, add)
    return types.void(*arguments), generate


class _Block:
    """The instructions of one `weighted_sum`."""

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> None:
        targets, starts, at, _, self.shift, *_, self.add = values
        self.builder = builder
        self.source, self.offsets, self.weights, self.ends = (
            _data(context, builder, signature, values, position) for position in (3, 5, 6, 7)
        )
        self.scalar = self.source.type.pointee
        self.itemsize = context.get_abi_sizeof(self.scalar)
        self.lanes = LINE_BYTES // self.itemsize
        self.vector = ir.VectorType(self.scalar, self.lanes)
        # AVX-512 has registers for four lines of both targets, others for two.
        self.at_once = 4 if "+avx512f" in str(context.codegen().magic_tuple()) else 2
        self.targets = [
            builder.gep(context.make_array(kind)(context, builder, array).data, [start])
            for kind, array, start in zip(
                signature.args[0],
                cgutils.unpack_tuple(builder, targets),
                [builder.add(start, at) for start in cgutils.unpack_tuple(builder, starts)],
                strict=True,
            )
        ]

    def generate(self) -> None:
        for first in range(0, BLOCK_LINES, self.at_once):
            self._sum_lines(range(first, first + self.at_once))

    def _sum_lines(self, lines: range) -> None:
        builder = self.builder
        totals = [[cgutils.alloca_once(builder, self.vector) for _ in lines] for _ in self.targets]
        places = [[self._line(target, line) for line in lines] for target in self.targets]
        both = list(zip(chain(*places), chain(*totals), strict=True))
        with builder.if_else(self.add) as (then, otherwise):
            with then:
                for place, total in both:
                    builder.store(self._load(place), total)
            with otherwise:
                for _, total in both:
                    builder.store(ir.Constant(self.vector, [0.0] * self.lanes), total)
        for kind, receivers in enumerate(((0,), (0, 1), (1,))):
            self._add_taps(kind, lines, {target: totals[target] for target in receivers})
        for place, total in both:
            self._store(builder.load(total), place)

    def _add_taps(self, kind: int, lines: range, totals: dict[int, list[ir.Value]]) -> None:
        """Loop over the taps that the same targets receive."""
        builder, index, step = self.builder, ir.IntType(32), ir.IntType(64)(1)
        first, last = (
            builder.load(builder.gep(self.ends, [index(end)])) for end in (kind, kind + 1)
        )
        with cgutils.for_range_slice(builder, first, last, step, inc=True) as (tap, _):
            self._add_tap(tap, lines, totals)

    def _add_tap(self, tap: ir.Value, lines: range, totals: dict[int, list[ir.Value]]) -> None:
        builder = self.builder
        offset = builder.load(builder.gep(self.offsets, [tap]))
        place = builder.gep(self.source, [builder.add(offset, self.shift)])
        samples = [self._load(self._line(place, line)) for line in lines]
        row = builder.shl(tap, tap.type(1))
        for target, sums in totals.items():
            at = builder.add(row, row.type(target))
            weight = self._repeated(builder.load(builder.gep(self.weights, [at])))
            for sample, total in zip(samples, sums, strict=True):
                fused = builder.call(self._multiply_add(), [weight, sample, builder.load(total)])
                builder.store(fused, total)

    def _line(self, place: ir.Value, number: int) -> ir.Value:
        return self.builder.gep(place, [ir.IntType(64)(number * self.lanes)])

    def _load(self, place: ir.Value) -> ir.Value:
        pointer = self.builder.bitcast(place, self.vector.as_pointer())
        return self.builder.load(pointer, align=self.itemsize)

    def _store(self, value: ir.Value, place: ir.Value) -> None:
        pointer = self.builder.bitcast(place, self.vector.as_pointer())
        self.builder.store(value, pointer, align=self.itemsize)

    def _repeated(self, value: ir.Value) -> ir.Value:
        number = ir.IntType(32)
        nothing = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(nothing, value, number(0))
        zeros = ir.Constant(ir.VectorType(number, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, nothing, zeros)

    def _multiply_add(self) -> ir.Function:
        name = f"llvm.fmuladd.v{self.lanes}f{8 * self.itemsize}"
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        return cgutils.get_or_insert_function(self.builder.module, kind, name)


def _data(
    context: Any, builder: ir.IRBuilder, signature: Any, values: Any, position: int
) -> ir.Value:
    """Return the pointer to an array argument's first sample."""
    kind = signature.args[position]
    return context.make_array(kind)(context, builder, values[position]).data
