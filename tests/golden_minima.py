"""Minima of one small problem to forty decimals, for every basic loss and bias mode, computed outside of ufm."""

from ufm import Problem

BIASES = ("none", "ridge", "free")
MINIMA = {
    "mse": {
        "none": "0.0141613289838755862060893756969741527448", "ridge": "0.0105196079412888401272213452135994172907",
        "free": "0.0102059109707148466823656792425652917720",
    },
    "ce": {
        "none": "0.0712947141254694612281602628323345962513", "ridge": "0.0695556489407933796518721112215427311983",
        "free": "0.0675407433294123690784129431670741258623",
    },
    "logistic": {
        "none": "0.1684652057065357514759199626229881295415", "ridge": "0.1547152057065357511896905890868149589635",
        "free": "0.1242725206436695707243265428994177246129",
    },
    "squared_hinge": {
        "none": "0.0108255195168679263382078029592975551677", "ridge": "0.0103313746350779932578248425458749863710",
        "free": "0.0102667696471352052396042150401307916444",
    },
}  # fmt: skip


def of_four(loss, bias, **changes):
    """The problem of the golden values."""
    numbers = {"l2_W": 5e-3, "l2_H": 1e-3, "l2_b": 2e-3 if bias == "ridge" else 0.0} | changes
    return Problem.imbalanced((5, 3, 2, 1), 4, columns="class", loss=loss, bias=bias, **numbers)
