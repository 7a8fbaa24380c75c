"""The engine of a `Convolution`: fused passes instead of transforms where they are faster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_convfact.convolution.boundary import pad_adjoint
from napari_convfact.convolution.geometry import Geometry
from napari_convfact.convolution.spatial import SpatialEngine, direct_sums_are_faster
from napari_convfact.execution import measure
from napari_convfact.execution.chain import Chain
from napari_convfact.execution.passes import FusedPass
from napari_convfact.execution.separable import separable_terms, separate

# The rounding of the transforms and of the fused sums, which a kernel's error may hide in.
ROUND_OFF = {torch.float32: 1e-6, torch.float64: 1e-14}
# More multiplications a pixel than this never beat the transforms.
MOST_MULTIPLICATIONS = 512
# Smaller images are done in less time than the choice would take.
_LEAST_SAMPLES = 2**15


class FusedEngine:
    """A convolution and its adjoint by fused passes, for the window of a boundary.

    Parameters
    ----------
    chains : sequence of Chain
        Their sum is the (dilated) kernel. Each has the kernel's shape.
    geometry : Geometry
        Sizes of the operator.
    boundary : str
        One of `geometry.BOUNDARIES`.
    """

    name = "fused"

    def __init__(self, chains: Sequence[Chain], geometry: Geometry, boundary: str) -> None:
        if any(chain.shape != geometry.kernel for chain in chains):
            raise ValueError(f"Every chain must have the kernel's shape {geometry.kernel}.")
        self.chains = tuple(chains)
        self.boundary = boundary
        self._geometry = geometry
        # Where all or nothing of the overlaps counts, the padding says it all.
        origin = geometry.after if boundary == "reflect" else geometry.origin
        mirrored = [k - 1 - o for k, o in zip(geometry.kernel, origin, strict=True)]
        self._forward = FusedPass(chains, [origin] * len(chains))
        self._adjoint = FusedPass([c.flipped() for c in chains], [mirrored] * len(chains))
        self._nothing = (0,) * len(geometry.kernel)
        self._all = tuple(k - 1 for k in geometry.kernel)

    @property
    def multiplications(self) -> int:
        """Multiplications a pixel."""
        return sum(chain.multiplications for chain in self.chains)

    def apply(self, x: Tensor) -> Tensor:
        """Map ``(..., *geometry.input)`` to ``(..., *geometry.window)``."""
        if self.boundary in ("periodic", "zero", "reflect"):
            return self._forward(x, self.boundary)
        margin = self._all if self.boundary == "full" else self._nothing
        return self._forward(x, "zero", before=margin, after=margin)

    def apply_adjoint(self, y: Tensor) -> Tensor:
        """Map ``(..., *geometry.window)`` to ``(..., *geometry.input)``."""
        if self.boundary in ("periodic", "zero"):
            return self._adjoint(y, self.boundary)
        margin = self._nothing if self.boundary == "full" else self._all
        x = self._adjoint(y, "zero", before=margin, after=margin)
        if self.boundary == "reflect":
            # Mirroring the image and then blurring is not blurring with a mirrored edge back.
            return pad_adjoint(x, self._geometry.before, self._geometry.after, "reflect")
        return x


@dataclass(frozen=True, eq=False)
class EngineChoice:
    """Which engine a convolution uses, and why.

    Attributes
    ----------
    engine : FusedEngine, SpatialEngine or None
        None for the transforms.
    relative_error : float
        Error of the kernel that is applied (Frobenius norm).
    seconds : dict of str to float
        What was measured, by ``"fft"`` and ``"fused"``; empty when there was nothing to choose.
    reason : str
        One sentence for the user.
    """

    engine: FusedEngine | SpatialEngine | None
    relative_error: float
    seconds: dict[str, float]
    reason: str

    @property
    def name(self) -> str:
        """``"fft"``, ``"fused"`` or ``"direct"``."""
        return "fft" if self.engine is None else self.engine.name


def choose_engine(
    kernel: np.ndarray,
    geometry: Geometry,
    boundary: str,
    *,
    requested: str = "auto",
    tolerance: float = 0.0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> EngineChoice:
    """Choose between transforms and fused passes for one kernel and image size.

    An exactly separable kernel or one of few taps is run fused where a short probe on the
    real shape finds that faster; an approximation only if `tolerance` allows it.

    Parameters
    ----------
    kernel : numpy.ndarray
        The dilated kernel, ``(*geometry.kernel)``.
    geometry, boundary
        As for `FusedEngine`.
    requested : {"auto", "fft", "fused"}
        ``"fused"`` does not measure.
    tolerance : float
        Relative error (Frobenius norm) of the kernel that may be made for speed.
    dtype, device
        Where and how the convolution computes.

    Returns
    -------
    EngineChoice

    Raises
    ------
    ValueError
        If ``"fused"`` is requested where it cannot run.
    """
    device = torch.device(device)
    if requested == "auto" and direct_sums_are_faster(kernel, geometry, dtype, device):
        engine = SpatialEngine(kernel, geometry, boundary, dtype)
        return EngineChoice(engine, 0.0, {}, "Direct sums: few taps and many channels.")
    possible = device.type == "cpu" and kernel.ndim == len(geometry.kernel) <= 3 and kernel.any()
    if requested == "fused" and not possible:
        raise ValueError(
            "engine='fused' runs on the CPU, for one kernel that is not zero and has up to three "
            "axes: use engine='auto'."
        )
    if requested == "fft" or not possible:
        return EngineChoice(None, 0.0, {}, "Fourier transforms.")
    if requested == "auto" and np.prod(geometry.window) < _LEAST_SAMPLES:
        return EngineChoice(None, 0.0, {}, "Fourier transforms: the image is small.")
    chains, error = factor(kernel, max(tolerance, ROUND_OFF[dtype]))
    if requested == "fused":
        fused = FusedEngine(chains, geometry, boundary)
        return EngineChoice(fused, error, {}, f"Fused pass, as requested: {describe(chains)}.")
    if sum(chain.multiplications for chain in chains) > MOST_MULTIPLICATIONS:
        return EngineChoice(None, 0.0, {}, "Fourier transforms: the kernel has too many taps.")
    return _measured_choice(FusedEngine(chains, geometry, boundary), error, geometry, dtype, device)


def factor(kernel: np.ndarray, tolerance: float) -> tuple[list[Chain], float]:
    """Return the cheapest sum of chains within a relative error, and its error.

    It is one of: the kernel itself, its separable form, the first few separable terms.
    """
    direct = Chain.of([kernel])
    taps, error = separate(kernel)
    if error <= tolerance:
        chain = Chain.separable(taps)
        return ([chain], error) if chain.multiplications < direct.multiplications else ([direct], 0)
    if tolerance > max(ROUND_OFF.values()):
        terms = separable_terms(kernel)
        rank = terms.rank(tolerance)
        if rank * sum(kernel.shape) < direct.multiplications:
            return terms.chains(rank), terms.errors[rank]
    return [direct], 0.0


def describe(chains: Sequence[Chain]) -> str:
    """Say what a sum of chains is, as ``"separable, 23 multiplications a pixel"``."""
    total = sum(chain.multiplications for chain in chains)
    separable = all(max(factor.shape) == factor.size for c in chains for factor in c.factors)
    kind = "separable" if separable else "direct" if len(chains[0].factors) == 1 else "a chain"
    terms = f"{len(chains)} {kind} terms" if len(chains) > 1 else kind
    return f"{terms}, {total} multiplications a pixel"


def warm_up(dtype: str = "float32", *, block: bool = False) -> None:
    """Compile the fused pass, or load it from numba's cache, away from the caller's thread.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Which variant.
    block : bool
        Wait until it is ready.
    """
    thread = threading.Thread(target=_compile, args=(dtype,), name="convfact-warm-up", daemon=True)
    thread.start()
    if block:
        thread.join()


def _compile(dtype: str) -> None:
    FusedPass([Chain.of([np.ones(3)])])(torch.ones(8, dtype=getattr(torch, dtype)), "zero")


def _measured_choice(
    engine: FusedEngine,
    error: float,
    geometry: Geometry,
    dtype: torch.dtype,
    device: torch.device,
) -> EngineChoice:
    times = {
        "fused": fused_seconds(engine.chains, geometry.window, dtype),
        "fft": measure.fft_seconds(geometry.torus, dtype, device),
    }
    gain = times["fft"] / times["fused"]
    if gain <= 1:
        return EngineChoice(None, 0.0, times, f"Fourier transforms: {1 / gain:.1f} times faster.")
    reason = f"Fused pass ({describe(engine.chains)}): {gain:.1f} times faster than transforms."
    return EngineChoice(engine, error, times, reason)


def fused_seconds(chains: Sequence[Chain], shape: Sequence[int], dtype: torch.dtype) -> float:
    """Return the time of a fused pass over an image of some shape, boundary included."""
    part, parts = measure.probe_shape(shape)
    structure = tuple(
        (tuple(factor.shape for factor in chain.factors), chain.dilations, chain.multiplications)
        for chain in chains
    )

    def prepare() -> Callable[[], object]:
        image = torch.ones(part, dtype=dtype)
        fused = FusedPass(chains)
        return lambda: fused(image, "reflect")

    return parts * measure.remembered(("fused", structure, part, dtype), prepare)
