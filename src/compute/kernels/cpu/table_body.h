// The table of one instruction set. Include after the vec_*.h and the other bodies.
#pragma once

namespace brisk {

constexpr KernelTable BRISK_ISA_TABLE = {
    .isa = kIsa,
    .name = BRISK_ISA_NAME,
    .direct_rows_max = kDirectRows,
    .direct_f32 = linear_streamed<F32Weights>,
    .direct_f16 = linear_streamed<F16Weights>,
    .direct_bf16 = linear_streamed<BF16Weights>,
    .direct_q8_0 = linear<Q8_0Weights, kDirectRows, kTileCols>,
    .direct_q4_0 = linear<Q4_0Weights, kDirectRows, kTileCols>,
    .linear_f32 = linear<F32Weights, kTileRows, kTileCols>,
    .decode_f16 = decode<F16Weights>,
    .decode_bf16 = decode<BF16Weights>,
    .decode_q8_0 = decode<Q8_0Weights>,
    .decode_q4_0 = decode<Q4_0Weights>,
    .add_low_rank_f32 = add_low_rank<F32Weights>,
    .add_low_rank_f16 = add_low_rank<F16Weights>,
    .add_low_rank_bf16 = add_low_rank<BF16Weights>,
    .panels = &BRISK_ISA_PANELS,
    .quantize_groups = quantize_groups,
    .sparse = &BRISK_ISA_SPARSE,
    .tiles = nullptr,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .silu = silu,
    .gelu_tanh = gelu_tanh,
    .relu2 = relu2,
    .softcap = softcap,
    .softmax = softmax,
    .add_scaled = add_scaled,
    .quantize_row = quantize_row,
    .read_all = read_all,
    .multiply_add = multiply_add,
    .vocabulary = {.scan = scan_logits,
                   .weigh = weigh_logits,
                   .split = split_logits,
                   .collect = collect_logits},
    .kv_append = {kv_append<F32Kv>, kv_append<F16Kv>, kv_append<BF16Kv>, kv_append<Int8Kv>,
                  kv_append<Fp8Kv>, kv_append_int4},
    .attention = {attention<F32Kv>, attention<F16Kv>, attention<BF16Kv>, attention<Int8Kv>,
                  attention<Fp8Kv>, attention<Int4Kv>},
    .merge_attention = merge_attention,
};

}  // namespace brisk
