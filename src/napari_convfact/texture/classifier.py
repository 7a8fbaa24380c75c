"""Classify textures: residual features and a linear or kernel classifier, or end to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

from napari_convfact.foundation.archive import complete_archive, read_archive, write_archive
from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.job import Job, Step, run
from napari_convfact.foundation.validate import check_image
from napari_convfact.kernels.bank import KernelBank
from napari_convfact.texture.bank_learning import learn_bank_job
from napari_convfact.texture.end_to_end import ResidualNetwork, train_job
from napari_convfact.texture.features import residual_features_job
from napari_convfact.texture.images import split_stack, working_dtype

_KIND = "texture classifier"
# Everything but what follows the contrast of an image.
_GROUPS = ("energy", "shape", "whiteness", "blocks", "model", "anisotropy")
_ABSOLUTE = (" mae", " mse", " var")


class TextureClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Tell textures apart, whatever their brightness and contrast.

    Parameters
    ----------
    n_kernels : int
        Kernels of the bank, for each dilation.
    radius : int
        Neighbours to each side.
    dilations : sequence of int
        Distances between neighbours.
    method : {"em", "kmeans", "greedy", "pca", "class", "gabor"}
        How the bank is learned; see `learn_bank`.
    classifier : {"lda", "svc"}
        Linear discriminant analysis with shrinkage, or a support vector machine with a
        Gaussian kernel.
    end_to_end : bool
        Train the bank and a small network together, starting from the learned bank. It takes
        images of one shape and pays off with many of them; with few, the other way is better.
    epochs : int
        Of end-to-end training.
    learning_rate : float
        Of end-to-end training.
    ndim : int
        Number of spatial axes.
    seed : int
        Of all that is random.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``.

    Attributes
    ----------
    classes_ : numpy.ndarray
        The classes.
    bank_ : KernelBank
        The bank, trained if `end_to_end`.
    feature_names_ : list of str
        Names of the features, unless `end_to_end`.
    loss_ : list of float
        Mean loss of each epoch, if `end_to_end`.

    References
    ----------
    J. Mao and A. K. Jain, "Texture classification and segmentation using multiresolution
    simultaneous autoregressive models", Pattern Recognition 25, 1992. O. Ledoit and M. Wolf,
    "Honey, I shrunk the sample covariance matrix", J. Portfolio Management 30, 2004.
    """

    def __init__(
        self,
        n_kernels: int = 8,
        *,
        radius: int = 1,
        dilations: Sequence[int] = (1, 2, 4),
        method: str = "em",
        classifier: str = "lda",
        end_to_end: bool = False,
        epochs: int = 30,
        learning_rate: float = 5e-3,
        ndim: int = 2,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.n_kernels = n_kernels
        self.radius = radius
        self.dilations = dilations
        self.method = method
        self.classifier = classifier
        self.end_to_end = end_to_end
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.ndim = ndim
        self.seed = seed
        self.device = device

    def fit(self, X: Any, y: Any) -> Self:
        """Learn the bank and the classifier.

        Parameters
        ----------
        X : array_like or sequence of array_like
            Images ``(n, *spatial)``, or a sequence of images of any sizes.
        y : array_like
            Class of each image, ``(n,)``: whole numbers or text.

        Returns
        -------
        TextureClassifier

        Raises
        ------
        ValueError
            If a parameter is not legal, or images and classes do not match.
        """
        run(self.fit_job(X, y))
        return self

    def fit_job(self, X: Any, y: Any) -> Job[Self]:
        """Generate the steps of `fit`; what was fitted before stays until the last."""
        images = self._images(X)
        classes, codes = _classes(y, len(images))
        if self.classifier not in ("lda", "svc"):
            raise ValueError(f"classifier must be 'lda' or 'svc', not {self.classifier!r}.")
        bank = yield from learn_bank_job(
            images,
            self.n_kernels,
            method=self.method,  # type: ignore[arg-type]
            labels=codes,
            radius=self.radius,
            dilations=self.dilations,
            ndim=self.ndim,
            seed=self.seed,
            device=self.device,
        )
        if self.end_to_end:
            network, loss = yield from self._train(images, codes, bank, len(classes))
            self.network_, self.loss_ = network, loss
            self.bank_ = network.trained_bank(bank)
        else:
            table = yield from self._features(images, bank)
            yield Step(len(images), len(images), "Fitting the classifier")
            self.head_ = _head(self.classifier, codes).fit(table[1], codes)
            self.bank_, self.feature_names_ = bank, table[0]
            self._training = (table[1], codes)
        self.classes_ = classes
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the class of each image, ``(n,)``."""
        probabilities = self.predict_proba(X)
        predicted: np.ndarray = self.classes_[probabilities.argmax(axis=1)]
        return predicted

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class for each image, ``(n, classes)``."""
        return run(self.predict_proba_job(X))

    def predict_proba_job(self, X: Any) -> Job[np.ndarray]:
        """Generate the steps of `predict_proba`."""
        check_is_fitted(self, "classes_")
        images = self._images(X)
        if not self.end_to_end:
            _, table = yield from self._features(images, self.bank_)
            return np.asarray(self.head_.predict_proba(table))
        rows = []
        for index, image in enumerate(images):
            yield Step(index, len(images), "Classifying images")
            with torch.inference_mode():
                x = torch.as_tensor(image[None, None], device=self.network_.kernels.device)
                rows.append(self.network_(x).softmax(dim=1).cpu().numpy()[0])
        return np.stack(rows)

    def save(self, path: str | Path) -> Path:
        """Write the fitted classifier to a NumPy archive that holds no pickle.

        The archive of a classifier that was not trained end to end holds the features and
        classes of the training images, from which `load` fits the same classifier again.

        Returns
        -------
        Path
            The file; ``.npz`` is added where it is missing.
        """
        check_is_fitted(self, "classes_")
        header = {
            "parameters": {**self.get_params(), "dilations": list(self.dilations)},
            "bank": {
                "names": self.bank_.names,
                "dilations": self.bank_.dilations,
                "metadata": dict(self.bank_.metadata),
            },
            "features": [] if self.end_to_end else self.feature_names_,
        }
        arrays = {"classes": self.classes_, "kernels": self.bank_.kernels}
        if self.end_to_end:
            state = self.network_.state_dict()
            arrays |= {f"network.{name}": value.cpu().numpy() for name, value in state.items()}
            arrays["loss"] = np.array(self.loss_)
        else:
            arrays["table"], arrays["codes"] = self._training
        return write_archive(path, _KIND, header, arrays)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a classifier that `save` wrote.

        Raises
        ------
        ValueError
            If the file is something else.
        FileNotFoundError
            If there is no such file.
        """
        header, arrays = read_archive(path, _KIND)
        with complete_archive(path, _KIND):
            return cls._of(header, arrays)

    @classmethod
    def _of(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        parameters = header["parameters"]
        model = cls(**{**parameters, "dilations": tuple(parameters["dilations"])})
        bank = header["bank"]
        model.bank_ = KernelBank(
            arrays["kernels"],
            tuple(bank["names"]),
            model.ndim,
            tuple(bank["dilations"]),
            metadata=bank["metadata"],
        )
        model.classes_ = arrays["classes"]
        if model.end_to_end:
            network = ResidualNetwork(model.bank_, len(model.classes_))
            state = {
                name.removeprefix("network."): torch.as_tensor(value)
                for name, value in arrays.items()
                if name.startswith("network.")
            }
            network.load_state_dict(state)
            model.network_ = network.to(choose_device(model.device).name).eval()
            model.loss_ = arrays["loss"].tolist()
        else:
            table, codes = arrays["table"], arrays["codes"]
            model.head_ = _head(model.classifier, codes).fit(table, codes)
            model._training = (table, codes)
            model.feature_names_ = header["features"]
        return model

    def _images(self, X: Any) -> list[np.ndarray]:
        """Check and standardize images: neither brightness nor contrast is a cue."""
        images = []
        for index, array in enumerate(split_stack(X, self.ndim, "image")):
            name, dtype = f"image {index}", working_dtype(array)
            data = check_image(array, name=name, missing="fill", dtype=dtype).data
            deviation = data.std(dtype=np.float64)
            centred = data - data.mean(dtype=np.float64)
            images.append((centred / (deviation if deviation > 0 else 1)).astype(np.float32))
        return images

    def _features(
        self, images: list[np.ndarray], bank: KernelBank
    ) -> Job[tuple[list[str], np.ndarray]]:
        table = yield from residual_features_job(
            images, bank, dilations=self.dilations, groups=_GROUPS, device=self.device
        )
        names = [name for name in table.columns if not name.endswith(_ABSOLUTE)]
        return names, np.nan_to_num(table[names].to_numpy(dtype=np.float64))

    def _train(
        self, images: list[np.ndarray], codes: np.ndarray, bank: KernelBank, n_classes: int
    ) -> Job[tuple[ResidualNetwork, list[float]]]:
        if len({image.shape for image in images}) > 1:
            raise ValueError("end_to_end=True needs images of one shape: crop them to one size.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = ResidualNetwork(bank, n_classes)
        loss = yield from train_job(
            network,
            images,
            codes,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            seed=self.seed,
            device=choose_device(self.device).name,
        )
        return network, loss


def _head(name: str, codes: np.ndarray) -> Pipeline:
    if name == "lda":
        if len(codes) <= codes.max() + 1:
            raise ValueError("There is one image of each class: give more of at least one.")
        return make_pipeline(
            StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        )
    fewest = int(np.bincount(codes).min())
    if fewest < 2:
        raise ValueError("classifier='svc' needs at least two images of each class.")
    machine = CalibratedClassifierCV(SVC(C=10), ensemble=False, cv=min(5, fewest))
    return make_pipeline(StandardScaler(), machine)


def _classes(y: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(y)
    if values.shape != (count,):
        raise ValueError(f"There are {count} images but classes of shape {values.shape}.")
    if values.dtype.kind == "O" and all(isinstance(value, str) for value in values):
        values = values.astype(str)
    if values.dtype.kind not in "biuU":
        raise ValueError(f"Classes are whole numbers or text, but these are {values.dtype}.")
    classes, codes = np.unique(values, return_inverse=True)
    if len(classes) < 2:
        raise ValueError("There is only one class: give images of at least two.")
    return classes, codes
