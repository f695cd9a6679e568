#include "compute/kernels/cpu/kernel_table.h"
#include "compute/kernels/cpu/vec_avx2.h"
// clang-format off
#include "compute/kernels/cpu/linear_body.h"
#include "compute/kernels/cpu/low_rank_body.h"
#include "compute/kernels/cpu/elementwise_body.h"
#include "compute/kernels/cpu/attention_body.h"
#include "compute/kernels/cpu/measure_body.h"
#include "compute/kernels/cpu/table_body.h"
