#!/usr/bin/env python3
"""Write every case: tiny checkpoints and what a correct engine computes from them.

  generate.py OUT_DIR [CASE...]
"""

import argparse
import json
from pathlib import Path

import numpy as np

import bitnet
import blocks
import cases
import checkpoints
import configs
import families
import forward
import gguf_file
import gguf_models
import int8
import llama2c
import llama2c_writer
import lora
import packed
import tiny_tokenizers
import to_gguf

# A prompt is drawn anew until greedy decoding meets no near-tie of logits or of routed experts, so
# that an engine in float32, or with 16-bit activations, has no excuse for another token; and until
# its tokens are varied enough to say something.
TOP2_GAP_MIN = 0.05
ROUTER_GAP_MIN = 0.01
DISTINCT_TOKENS_MIN = 6
# BitNet: the prompt's logits are worth comparing only where no activation is near a rounding tie;
# while generating there will be ties, so that the gap must bear the step of logits they cause.
ROUNDING_MARGIN_MIN = 2e-4
BITNET_TOP2_GAP_MIN = 0.2
BITNET_PROMPT_TOKENS = 6
PROMPTS_TRIED_MAX = 1000


def expected(logits_of, prompt):
    """What is computed from a prompt, or None where it comes too close to a tie.

    logits_of(ids, trace) -> logits of every position.
    """
    trace = forward.Trace()
    logits = logits_of(prompt, trace)
    if trace.rounding_margin_min < ROUNDING_MARGIN_MIN:
        return None
    rounds = np.isfinite(trace.rounding_margin_min)
    margin = {"min_rounding_margin": trace.rounding_margin_min} if rounds else {}
    greedy_ids, gap = forward.greedy(lambda ids: logits_of(ids, trace), prompt, cases.GREEDY_TOKENS)
    if gap < (BITNET_TOP2_GAP_MIN if rounds else TOP2_GAP_MIN):
        return None
    if trace.router_gap_min < ROUTER_GAP_MIN or len(set(greedy_ids)) < DISTINCT_TOKENS_MIN:
        return None
    routes = np.isfinite(trace.router_gap_min)
    return {
        "prompt_ids": prompt,
        "greedy_ids": greedy_ids,
        "min_top2_gap": gap,
        **({"min_router_gap": trace.router_gap_min} if routes else {}),
        **margin,
        "logits": logits,
    }


def choose_prompt(name, family, logits_of, vocab, prompt_tokens, **more):
    """The contents of expected.json for the first prompt that is clear of ties."""
    rng = np.random.default_rng(checkpoints.seed_of(name + " prompt"))
    for _ in range(PROMPTS_TRIED_MAX):
        found = expected(logits_of, rng.integers(3, vocab, prompt_tokens).tolist())
        if found is not None:
            return {"family": family, **more, **found}
    raise RuntimeError(f"{name}: none of {PROMPTS_TRIED_MAX} prompts is clear of ties")


def write_expected(directory, found, name="expected.json"):
    """One row of logits to a line, seven digits."""
    logits = found.pop("logits")
    rows = ["[" + ",".join(f"{value:.7g}" for value in row) + "]" for row in logits]
    head = json.dumps(found, indent=1)[:-2]
    text = head + ',\n "logits": [\n' + ",\n".join(rows) + "\n]\n}\n"
    (directory / name).write_text(text)


def write_model(directory, case):
    """Both layouts of a Hugging Face family, and the logits of the Hugging Face one."""
    tensors = checkpoints.random_tensors(case)
    checkpoints.write_hugging_face(directory / "hf", case, tensors)
    layouts = ["hf"]
    if case.gguf:
        metadata, stored = to_gguf.convert(case.config, tensors, case.dtype)
        metadata.update(tiny_tokenizers.gguf_keys(case.config))
        gguf_file.write(directory / "model.gguf", metadata, stored)
        layouts.append("model.gguf")
    model = families.build(case.config, tensors, case.context)
    more = {"layouts": layouts, "dtype": case.dtype}
    if case.context:
        more["context"] = case.context
    if case.note:
        more["note"] = case.note
    found = choose_prompt(
        case.name,
        case.config["model_type"],
        lambda ids, trace: forward.forward(model, ids, trace),
        case.config["vocab_size"],
        case.prompt_tokens,
        **more,
    )
    states = forward.final_states(model, found["prompt_ids"])
    found["states"] = {"mean": states.mean(axis=0).tolist(), "last": states[-1].tolist()}
    return found


def write_quantised(directory, name, format_of):
    """A GGUF llama whose matrices are random blocks; format_of maps a tensor's name to a format."""
    case = cases.Case(name, configs.BLOCKS)
    metadata, stored = to_gguf.convert(case.config, checkpoints.random_tensors(case))
    rng = np.random.default_rng(checkpoints.seed_of(name + " blocks"))
    for tensor_name, tensor in stored.items():
        if len(tensor.shape) == 2:
            rms = float(tensor.values().std())
            tensor.format = format_of(tensor_name)
            count = int(np.prod(tensor.shape)) // blocks.FORMATS[tensor.format].elements
            tensor.data = blocks.random_blocks(tensor.format, count, rng, rms)
    most = format_of("blk.0.ffn_up.weight")
    metadata["general.file_type"] = blocks.FORMATS[most].file_type
    metadata["general.quantization_version"] = 2
    metadata.update(tiny_tokenizers.gguf_keys(case.config))
    gguf_file.write(directory / "model.gguf", metadata, stored)
    model = gguf_models.build(metadata, stored)
    if name in cases.ROUNDED:
        write_rounded(directory, name, model)
    return choose_prompt(
        name,
        "llama",
        lambda ids, trace: forward.forward(model, ids, trace),
        configs.VOCAB,
        cases.PROMPT_TOKENS,
        layouts=["model.gguf"],
        dtype=most,
    )


def write_packed(directory, case):
    """A checkpoint quantised by other tools, and the logits of what its matrices stand for."""
    model, orders = packed.write(directory / "hf", case)
    if case.rounded:
        write_rounded(directory, case.name, model, head=False, orders=orders)
    return choose_prompt(
        case.name,
        case.config["model_type"],
        lambda ids, trace: forward.forward(model, ids, trace),
        configs.VOCAB,
        cases.PROMPT_TOKENS,
        layouts=["hf"],
        dtype=case.layout,
    )


def write_rounded(directory, name, model, **which):
    """What the same file gives when the inputs of products are rounded to int8."""
    found = choose_prompt(
        name + " rounded",
        "llama",
        lambda ids, trace: forward.forward(int8.rounding(model, trace, **which), ids),
        configs.VOCAB,
        cases.ROUNDED_PROMPT_TOKENS,
    )
    exact = forward.forward(model, found["prompt_ids"])
    found["rounding_moves_logits"] = float(np.abs(exact - found["logits"]).max())
    write_expected(directory, found, "rounded.json")


def mixed(name):
    """The mixture llama.cpp calls Q4_K_M: most in Q4_K, the sensitive tensors in Q6_K."""
    sensitive = ("output.weight", "blk.0.attn_v.weight", "blk.0.ffn_down.weight")
    return "Q6_K" if name in sensitive else "Q4_K"


def write_llama2c(directory, name, content):
    """One file of llama2.c's or bitllama2.c's."""
    path = directory / "model.bin"
    path.write_bytes(content)
    if name == "bitnet":
        model = bitnet.read(path)
        logits_of = lambda ids, trace: bitnet.forward(model, ids, trace)
        family, tokens = "bitnet", BITNET_PROMPT_TOKENS
    else:
        _, model = llama2c.read(path)
        logits_of = lambda ids, trace: forward.forward(model, ids, trace)
        family, tokens = "llama", cases.PROMPT_TOKENS
    vocab = llama2c_writer.CONFIG.vocab
    return choose_prompt(name, family, logits_of, vocab, tokens, layouts=["model.bin"])


def write_adapter(directory, adapter):
    """An adapter of a case in either layout, and the logits of the merged weights."""
    logits_of, facts = lora.write(directory, adapter)
    config = lora.case_of(adapter).config
    family, vocab = config["model_type"], config["vocab_size"]
    tokens = lora.case_of(adapter).prompt_tokens
    return choose_prompt(adapter.name, family, logits_of, vocab, tokens, **facts)


def write_blocks(directory):
    """FORMAT.blocks and FORMAT.f32: random blocks and what they decode to, apart from any model."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, format in blocks.FORMATS.items():
        rng = np.random.default_rng(checkpoints.seed_of(name))
        count = 1024 // format.elements
        data = blocks.random_blocks(name, count, rng, 1.0)
        values = blocks.decode(data, name, (1024,))
        (directory / f"{name}.blocks").write_bytes(data)
        (directory / f"{name}.f32").write_bytes(values.astype("<f4").tobytes())


def jobs():
    """{case: function that fills its directory and returns what is expected}."""
    out = {case.name: lambda d, case=case: write_model(d, case) for case in cases.CASES}
    for name in cases.BLOCK_FORMATS:
        case = f"blocks-{name.lower()}"
        out[case] = lambda d, case=case, name=name: write_quantised(d, case, lambda tensor: name)
    out["blocks-mixed"] = lambda d: write_quantised(d, "blocks-mixed", mixed)
    for name, write in (
        ("llama2c-v0", llama2c_writer.version_0),
        ("llama2c-v2", llama2c_writer.version_2),
        ("bitnet", llama2c_writer.bitnet_file),
    ):
        rng = np.random.default_rng(checkpoints.seed_of(name))
        out[name] = lambda d, name=name, write=write, rng=rng: write_llama2c(d, name, write(rng))
    for case in packed.CASES:
        out[case.name] = lambda d, case=case: write_packed(d, case)
    for adapter in lora.ADAPTERS:
        out[adapter.name] = lambda d, adapter=adapter: write_adapter(d, adapter)
    return out


def generate(out, only=()):
    every = jobs()
    unknown = set(only) - set(every)
    if unknown:
        raise SystemExit(f"no such case: {', '.join(sorted(unknown))}")
    manifest = []
    for name, job in every.items():
        if only and name not in only:
            continue
        directory = out / name
        directory.mkdir(parents=True, exist_ok=True)
        found = job(directory)
        write_expected(directory, dict(found))
        summary = ("family", "layouts", "min_top2_gap")
        manifest.append({"name": name, **{key: found[key] for key in summary}})
    write_blocks(out / "blocks")
    manifest = {"cases": manifest, "blocks": list(blocks.FORMATS)}
    checkpoints.write_json(out / "manifest.json", manifest)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="only these (default: all)")
    arguments = parser.parse_args()
    generate(arguments.out, arguments.cases)


if __name__ == "__main__":
    main()
