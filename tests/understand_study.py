"""An understand.json of invented numbers, with its pictures, for the tests of the page."""

from PIL import Image

from vaelab.reports.understand import figures as pictures
from vaelab.reports.understand import write_page
from vaelab.reports.understand.values import MODELS

UNITS = {
    "distortion": ("nats", "low"),
    "rate": ("nats", None),
    "neg_elbo": ("nats", "low"),
    "posterior_scale": ("none", None),
    "knn_accuracy": ("share", "high"),
    "overlap": ("none", None),
    "spread": ("none", None),
    "hole_prior": ("share", "low"),
    "hole_ellipse": ("share", "low"),
    "unreached": ("share", "low"),
    "round_trip": ("none", "low"),
    "round_trip_gaps": ("share", "low"),
    "aggregate_kl": ("nats", "low"),
    "mmd": ("none", "low"),
    "roughness": ("none", "low"),
    "off_support": ("share", "low"),
    "precision": ("share", "high"),
    "recall": ("share", "high"),
    "density": ("none", "high"),
    "coverage": ("share", "high"),
    "precision_coverage": ("share", "high"),
    "confidence": ("share", "high"),
    "balance": ("share", "high"),
}
LABELLED = ("knn_accuracy", "confidence", "balance")


def comparison(latent, figure, verdict, z, left=0.125, right=0.618, against="ae"):
    return {
        "verdict": verdict,
        "left": {"model": f"vae-{latent}", "figure": figure, "value": left, "se": 0.004},
        "right": {"model": f"{against}-{latent}", "figure": figure, "value": right, "se": 0.005},
        "relation": "below",
        "factor": 1.0,
        "bound": None,
        "ratio": 0.2,
        "z": z,
    }


def claim(name, section, latent, verdict, *comparisons):
    return {
        "id": name,
        "section": section,
        "latent": latent,
        "holds": None if verdict is None else verdict == "holds",
        "verdict": verdict,
        "comparisons": list(comparisons),
    }


def a_study(labels=True, image=True):
    """An understand.json of invented numbers."""
    models = {}
    for latent in (2, 16):
        for i, model in enumerate(MODELS):
            figures = {
                name: {"value": 0.1 + 0.17 * i + latent / 100, "se": 0.0042, "n": 10_000}
                for name in UNITS
            }
            if model == "ae":
                for name in ("rate", "neg_elbo", "aggregate_kl"):
                    figures[name] = {"value": None, "why": "point"}
            if not labels:
                for name in LABELLED:
                    figures[name] = {"value": None, "why": "unlabelled"}
            models[f"{model}-{latent}"] = {
                "model": model,
                "latent": latent,
                "figures": figures,
                "classes": None,
            }
    claims = [
        claim("holes_prior", 1, n, "holds", comparison(n, "hole_prior", "holds", 76.0))
        for n in (2, 16)
    ]
    for latent, verdict, z in ((2, "fails", -7.5), (16, "undecided", 0.4)):
        one = comparison(latent, "roughness", verdict, z)
        claims.append(claim("path_smoother", 4, latent, verdict, one))
    bound = comparison(16, "rate", "holds", 9.0) | {"right": None, "bound": 0.1}
    bound["left"] = {"model": "kl-only-16", "figure": "rate", "value": 0.27, "se": 0.004}
    several = claim(
        "together_and_apart",
        3,
        16,
        "fails",
        comparison(16, "mmd", "holds", 3.0),
        comparison(16, "mmd", "fails", -3.0, against="reconstruction-only"),
        comparison(16, "spread", "holds", 3.0, against="kl-only"),
    )
    missing = claim("balance", 5, 16, None, comparison(16, "balance", None, None))
    claims += [claim("kl_only_rate", 3, 16, "holds", bound), several, missing]
    codes = {
        f"vae-{n}": {"mean": [(-1) ** j * 0.3 * (j % 5) for j in range(n)], "std": [0.3] * n}
        for n in (2, 16)
    }
    names = list(
        dict.fromkeys(panel.file for fig in pictures.FIGURES.values() for panel in fig.panels)
    )
    drawn = ("map", "gap", "density", "ellipses", "training")
    return {
        "format": 2,
        "vaelab": "0.1.0",
        "torch": "2.8",
        "device": "cpu",
        "data": {
            "source": "digits8x8" if image else "some/table <a>.npy",
            "shape": [1, 8, 8] if image else [12],
            "is_image": image,
            "by_column": False,
            "domain": "levels",
            "levels": 17,
            "classes": [str(i) for i in range(10)] if labels else [],
            "sizes": [1437, 180, 180],
            "likelihood": "bernoulli: the data is nearly two-toned",
            "binarize": "dynamic" if image else "no",
            "notes": [],
        },
        "study": {
            "latents": [2, 16],
            "wide": 16,
            "seed": 0,
            "epochs": 120,
            "batch_size": 128,
            "steps": 1440,
            "usual_epochs": 109,
            "usual_steps": 1308,
            "rows": 1437,
            "net": "mlp",
            "width": 512,
            "parameters": {"2": 601_234, "16": 623_400},
            "seconds": {"train": 31.2, "measure": 9.9, "draw": 4.0},
        },
        "measurement": {
            "encoder_input": "grey",
            "reference": {"split": "train", "n": 1437},
            "heldout": {"split": "valid+test", "n": 360},
            "k": 5,
            "level": 0.95,
            "samples": 10_000,
            "prior_draws": 60_000,
            "generated": 360,
            "kl_draws": 2000,
            "mmd_draws": 5000,
            "walk_steps": 32,
            "pairs": 500,
            "pairs_of": "different classes" if labels else "any two",
            "features": "64 features of a classifier of 10 classes",
            "features_of": {"kind": "classifier", "dims": 64, "classes": 10},
            "classifier_accuracy": {"value": 0.96, "se": 0.01, "n": 360} if labels else None,
            "chance": 0.103 if labels else None,
            "repeats": False,
            "pixels": "29 principal components of the pixels (95.1%)",
            "pixels_of": {"dims": 29, "explained": 0.951},
            "seeds": {"binarization": 0, "draws": 0, "classifier": 0},
        },
        "models": models,
        "rows": [
            {"figure": name, "unit": unit, "better": better, "best": {"2": ["vae"], "16": ["vae"]}}
            for name, (unit, better) in UNITS.items()
        ],
        "claims": claims,
        "inputs": [{"row": i, "label": i if labels else None, "codes": codes} for i in range(1, 6)],
        "strips": {
            "gap": {"distance": 1.234, "hole": True, "points": 9, "off": 4},
            "class": {"label": 1},
        },
        "noise_relative": {"2": 0.31, "16": 0.42},
        "temperatures": [0.25, 0.5, 1, 2],
        "walk_pairs": None,
        "history": {
            f"{model}-{n}": {
                term: [
                    80.0 + 100 / (e + 1) if term == "distortion" else 0.3 * e**i for e in range(9)
                ]
                for term in ("distortion", "rate")
                if not (model == "ae" and term == "rate")
            }
            for n in (2, 16)
            for i, model in enumerate(MODELS)
        },
        "pictures": [
            {
                "file": file,
                "section": 1,
                "width": 672 if any(word in file for word in drawn) else 600,
                "height": 672 if any(word in file for word in drawn) else 240,
                "kind": "drawing" if any(word in file for word in drawn) else "pixels",
            }
            for file in names
        ],
    }


def written(tmp_path, study, lang="en"):
    folder = tmp_path / "figures"
    folder.mkdir(exist_ok=True)
    for picture in study["pictures"]:
        path = folder / picture["file"]
        if path.suffix == ".svg":
            path.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="600" height="200"/>')
        else:
            Image.new("L", (picture["width"], picture["height"]), 128).save(path)
    return write_page(study, folder, tmp_path, lang)
