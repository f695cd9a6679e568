"""Low-rank adapters for some of the cases: what PEFT and llama.cpp would write, and what the merged
weights W + scale B A compute.

A case's directory holds adapter/ (PEFT), adapter.gguf where GGUF has the family, and expected.json;
"base" there names the case whose checkpoints it adapts.
"""

import math
from dataclasses import dataclass, field

import numpy as np

import cases
import checkpoints
import families
import floats
import forward
import gguf_file
import safetensors_file
import to_gguf


@dataclass
class Adapter:
    base: str
    modules: tuple  # last parts of the names
    rank: int = 4
    alpha: float = 6.0
    rank_stabilized: bool = False
    dtype: str = "f32"
    rank_pattern: dict = field(default_factory=dict)
    alpha_pattern: dict = field(default_factory=dict)

    @property
    def name(self):
        return f"lora-{self.base}"

    def rank_of(self, module):
        return own(self.rank_pattern, module, self.rank)

    def scale_of(self, module):
        rank = self.rank_of(module)
        alpha = own(self.alpha_pattern, module, self.alpha)
        return alpha / (math.sqrt(rank) if self.rank_stabilized else rank)


def own(pattern, module, default):
    for name, value in pattern.items():
        if module == name or module.endswith("." + name):
            return value
    return default


ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
ALL = ATTENTION + ("gate_proj", "up_proj", "down_proj")
ADAPTERS = [
    Adapter("llama2", ALL),
    Adapter(
        "llama3",
        ALL,
        rank=16,
        alpha=24.0,
        rank_stabilized=True,
        rank_pattern={"k_proj": 3, "layers.0.mlp.down_proj": 33},
        alpha_pattern={"model.layers.0.self_attn.q_proj": 48.0, "up_proj": 8.0},
    ),
    Adapter("llama2-bf16", ("q_proj", "v_proj"), rank=1, alpha=2.0, dtype="bf16"),
    Adapter("mistral", ALL, dtype="f16"),
    Adapter("mixtral", ATTENTION),
    Adapter("qwen2", ALL),
    Adapter("qwen3", ALL),
    Adapter("phi3-window", ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")),
    Adapter("gemma2", ALL),
    Adapter("gemma3", ALL),
    Adapter("gpt2", ("c_attn", "c_proj", "c_fc")),
]


def in_peft(adapter):
    """{name: array} of lora_A (rank, in) and lora_B (out, rank), without PEFT's wrapper."""
    case = case_of(adapter)
    rng = np.random.default_rng(checkpoints.seed_of(adapter.name))
    out = {}
    for name, shape in checkpoints.shapes(case.config).items():
        module = name.removesuffix(".weight")
        if not name.endswith(".weight") or module.rsplit(".", 1)[-1] not in adapter.modules:
            continue
        inputs, outputs = shape if case.config["model_type"] == "gpt2" else shape[::-1]
        rank = adapter.rank_of(module)
        gain = 0.5 / adapter.scale_of(module)
        for half, array in (
            ("lora_A", rng.normal(0, 1 / math.sqrt(inputs), (rank, inputs))),
            ("lora_B", rng.normal(0, gain / math.sqrt(rank), (outputs, rank))),
        ):
            out[f"{module}.{half}.weight"] = floats.rounded(array, adapter.dtype)
    return out


def merged(adapter, tensors, pairs):
    config = case_of(adapter).config
    out = dict(tensors)
    for name, a in pairs.items():
        if not name.endswith(".lora_A.weight"):
            continue
        module = name.removesuffix(".lora_A.weight")
        delta = adapter.scale_of(module) * (pairs[f"{module}.lora_B.weight"] @ a)
        out[f"{module}.weight"] += delta.T if config["model_type"] == "gpt2" else delta
    return out


def write_peft(directory, adapter, pairs):
    directory.mkdir(parents=True, exist_ok=True)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "use_rslora": adapter.rank_stabilized,
        "rank_pattern": adapter.rank_pattern,
        "alpha_pattern": adapter.alpha_pattern,
        "target_modules": sorted(adapter.modules),
        "bias": "none",
        "use_dora": False,
        "modules_to_save": None,
        "init_lora_weights": True,
        "lora_dropout": 0.05,
    }
    checkpoints.write_json(directory / "adapter_config.json", config)
    wrapper = "base_model.model."
    if case_of(adapter).config["model_type"] == "gpt2":
        wrapper += "transformer."
    tensors = {wrapper + name: array for name, array in pairs.items()}
    safetensors_file.write(directory / "adapter_model.safetensors", tensors, adapter.dtype)


def write_gguf(path, adapter, pairs):
    """llama.cpp's converter reorders the rows of B as it does those of the weight. Its format has
    one alpha: scales that differ are multiplied into B."""
    case = case_of(adapter)
    family = case.config["model_type"]
    uniform = not (adapter.rank_stabilized or adapter.rank_pattern or adapter.alpha_pattern)
    stored = {}
    for name, array in pairs.items():
        module, half = name.removesuffix(".weight").rsplit(".", 1)
        weight = f"{module}.weight"
        if half == "lora_B":
            if family != "gpt2":  # Conv1D's transposition is not for adapters
                array = to_gguf.in_gguf_order(case.config, weight, array)
            if not uniform:
                array = array * adapter.scale_of(module)
        key = to_gguf.gguf_name(family, weight, to_gguf.LAYER.fullmatch(weight))
        stored[f"{key}.{half.lower()}"] = gguf_file.stored(
            array, adapter.dtype if uniform else "f32"
        )
    metadata = {
        "general.architecture": to_gguf.ARCHITECTURE[family],
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": float(adapter.alpha) if uniform else 0.0,
    }
    gguf_file.write(path, metadata, stored)


def case_of(adapter):
    return next(case for case in cases.CASES if case.name == adapter.base)


def write(directory, adapter):
    """The adapter's files; -> (logits_of, facts) of the merged model."""
    case = case_of(adapter)
    pairs = in_peft(adapter)
    write_peft(directory / "adapter", adapter, pairs)
    adapters = ["adapter"]
    if case.gguf:
        write_gguf(directory / "adapter.gguf", adapter, pairs)
        adapters.append("adapter.gguf")
    tensors = merged(adapter, checkpoints.random_tensors(case), pairs)
    model = families.build(case.config, tensors, case.context)
    facts = {
        "base": case.name,
        "layouts": ["hf", "model.gguf"] if case.gguf else ["hf"],
        "adapters": adapters,
    }
    if case.context:
        facts["context"] = case.context
    return lambda ids, trace: forward.forward(model, ids, trace), facts
