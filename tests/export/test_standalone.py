"""Code that runs without Sonoscale: what is carried over, what is not, and that nothing is missing."""

import ast
import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import types
from typing import Any

import numpy as np
import pytest
import torch

from sonoscale.encoders import EncoderConfig
from sonoscale.export._code import hear, mteb_model, steps, xares
from sonoscale.export._standalone import standalone

ALONE = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("sonoscale", "pydantic"):
            raise ImportError(f"{name} is not to be had here")

sys.meta_path.insert(0, Blocked())
import importlib, json
import numpy as np
import torch

torch.set_num_threads(1)
try:
    import sonoscale
except ImportError as error:
    assert "not to be had" in str(error)
else:
    raise SystemExit("sonoscale is there")
asked = json.load(open(sys.argv[1]))
waves = torch.from_numpy(np.load(asked["waves"]))
found = {}
for name, (kind, folder, module) in asked["exports"].items():
    sys.path.insert(0, folder)
    made = module and importlib.import_module(module)
    if kind == "hear":
        found[name] = made.get_scene_embeddings(waves, made.load_model())
    elif kind == "xares":
        (cls,) = [getattr(made, key) for key in dir(made) if key.endswith("Encoder")]
        found[name] = cls()(waves).mean(1)
    elif kind == "hf":
        import transformers

        inputs = transformers.AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)(
            list(waves.numpy()), sampling_rate=16_000, return_tensors="pt"
        )
        with torch.no_grad():
            model = transformers.AutoModel.from_pretrained(folder, trust_remote_code=True)
            found[name] = model(**inputs).pooler_output
    else:
        batch = {"audio": [{"array": wave, "sampling_rate": 16_000} for wave in waves.numpy()]}
        found[name] = torch.from_numpy(made.SonoscaleMteb().encode([batch]))
assert not {"sonoscale", "pydantic"} & set(sys.modules), "imported all the same"
np.savez(asked["out"], **{name: value.numpy() for name, value in found.items()})
"""


def test_exports_run_where_sonoscale_cannot_be_imported(export, ours, clips, same, tmp_path):
    waves = clips(4, 17_000)
    np.save(tmp_path / "waves.npy", waves.numpy())
    exports = {}
    for run in ("vit", "conv", "cnn"):
        made = export(run, "hear")
        exports[f"{run}-hear"] = ("hear", str(made.folder), f"sonoscale_hear_{made.hash}")
    for to, prefix in (("xares", "sonoscale"), ("mteb", "sonoscale_mteb")):
        made = export("vit", to)
        exports[f"vit-{to}"] = (to, str(made.folder), f"{prefix}_{made.hash}")
    if importlib.util.find_spec("transformers"):
        exports["vit-hf"] = ("hf", str(export("vit", "hf").folder), "")
    asked = {"waves": str(tmp_path / "waves.npy"), "out": str(tmp_path / "out.npz"), "exports": exports}
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    (tmp_path / "alone.py").write_text(ALONE)
    done = subprocess.run(
        [sys.executable, tmp_path / "alone.py", tmp_path / "asked.json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "HF_HOME": str(tmp_path / "hf")},
    )
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "out.npz")
    assert set(found) == set(exports)
    for name in exports:
        same(torch.from_numpy(found[name]), ours(name.split("-")[0]).embed(waves).detach())


@pytest.mark.parametrize("module", [hear, xares, mteb_model])
def test_no_file_imports_sonoscale_or_pydantic(module):
    tree = ast.parse(standalone(module))
    names = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    roots = {str(name).partition(".")[0] for name in names}
    assert {"torch", "numpy", "pathlib"} <= roots
    assert not roots & {"sonoscale", "pydantic"}
    assert not {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & {"SonoscaleError", "weights_hash"}


def test_a_configuration_is_a_frozen_dataclass_with_the_same_defaults_and_properties():
    space: dict[str, Any] = {"__name__": "alone"}
    sys.modules["alone"] = types.ModuleType("alone")  # dataclasses look there
    try:
        exec(standalone(steps), space)
    finally:
        del sys.modules["alone"]
    config = space["EncoderConfig"]
    assert dataclasses.asdict(config()) == EncoderConfig().model_dump()
    shape = {"backbone": "vit", "width": 96, "n_mels": 32, "patch_mels": 8, "mlp_ratio": 2.5}
    carried, own = config(**shape), EncoderConfig(**shape)
    for name in ("n_heads", "mel_patches", "patch_size", "mlp_width"):
        assert getattr(carried, name) == getattr(own, name)
    assert dataclasses.asdict(carried.front_end) == own.front_end.model_dump()
    with pytest.raises(dataclasses.FrozenInstanceError):
        carried.width = 8
    with pytest.raises(ValueError, match="shorter than one analysis window"):
        space["LogMel"]()(torch.zeros(1, 100))


def test_constants_are_filled_in_and_names_changed():
    code = standalone(xares, constants={"CONFIG": {"width": 8}, "WEIGHTS": "w.pt"}, rename={"SonoscaleEncoder": "Ours"})
    assert "CONFIG: dict[str, Any] = {'width': 8}  # shape of the encoder" in code
    assert "WEIGHTS = 'w.pt'" in code
    assert "class Ours(nn.Module)" in code
    assert "SonoscaleEncoder" not in code
    with pytest.raises(ValueError, match="has no GONE"):
        standalone(xares, constants={"GONE": 1})


def test_a_module_that_needs_a_constant_of_sonoscale_is_refused(tmp_path, monkeypatch):
    (tmp_path / "needs_a_constant.py").write_text('"""One."""\n\nfrom sonoscale.corpora import AUDIO_SUFFIXES\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("sonoscale.corpora.AUDIO_SUFFIXES", (".wav",), raising=False)
    import needs_a_constant  # pyright: ignore[reportMissingImports]

    with pytest.raises(ValueError, match="AUDIO_SUFFIXES is neither a class nor a function"):
        standalone(needs_a_constant)
