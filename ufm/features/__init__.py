"""Features that are given: of your own network, or of ours, held against the models. The door of empirical users.

    files       load_features (H or features, labels, W, b in .npz), measure (all metrics, of a file or a folder of shards)
    collapse    collapse (features, labels, classifier -> how far, and what the theory says of the last layer)
    last layer  effective_ridge, compare (the ridges that a trained last layer sees, and their closed-form minimum)
    proximity   proximity (the minimiser near given features), fit_beta, near_collapse_factor, perturb (all of it, reported)
    classes     long_tail (which classes of a long tail collapse), language (words and their frequencies as classes)
    networks    train, digits (a perceptron and a small residual network on scikit-learn's digits)

Samples are columns of H (d, N) and rows of features (N, d).

Imports base, losses, problem, equivalent, search, metrics, settings, duality, theory.
"""

from ufm.features.collapse_report import MetricsReport, measure
from ufm.features.comparison import PerturbReport
from ufm.features.given import Collapse, Features, collapse, load_features
from ufm.features.last_layer import Comparison, EffectiveRidge, compare, effective_ridge
from ufm.features.long_tail_report import LongTailReport
from ufm.features.long_tails import long_tail
from ufm.features.networks import Trained, Training, digits, train
from ufm.features.perturbation import perturb
from ufm.features.proximity_fit import fit_beta, movement
from ufm.features.proximity_model import Proximity, near_collapse_factor, proximity
from ufm.features.tokens import language, word_frequencies
from ufm.features.tokens_report import LanguageReport

__all__ = [
    "Collapse",
    "Comparison",
    "EffectiveRidge",
    "Features",
    "LanguageReport",
    "LongTailReport",
    "MetricsReport",
    "PerturbReport",
    "Proximity",
    "Trained",
    "Training",
    "collapse",
    "compare",
    "digits",
    "effective_ridge",
    "fit_beta",
    "language",
    "load_features",
    "long_tail",
    "measure",
    "movement",
    "near_collapse_factor",
    "perturb",
    "proximity",
    "train",
    "word_frequencies",
]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
