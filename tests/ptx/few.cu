// SPDX-License-Identifier: Apache-2.0
// Some of the kernels, quick to compile: what mutants.py makes mutants of.

#include <fuller/cuda/kernels.cuh>

namespace d = fuller::cuda::detail;

extern const void* const few[];
const void* const few[] = {
    reinterpret_cast<const void*>(d::gram_kernel<d::FewTasks<2>>),
    reinterpret_cast<const void*>(d::gram_kernel<d::FewTasks<3>>),
    reinterpret_cast<const void*>(d::gram_kernel<d::FewTasks<4>>),
    reinterpret_cast<const void*>(d::gram_kernel<d::ManyTasks>),
    reinterpret_cast<const void*>(d::norm_kernel<d::SliceNorms<2, float>>),
    reinterpret_cast<const void*>(d::norm_kernel<d::SliceNorms<8, float>>),
    reinterpret_cast<const void*>(d::sum_kernel<d::WeightedSum<float>>),
    reinterpret_cast<const void*>(d::scale_kernel<d::SliceScales<float>>),
    reinterpret_cast<const void*>(d::call_kernel<fuller::cuda::RuleCall>),
    reinterpret_cast<const void*>(d::call_kernel<fuller::cuda::GateCall>),
};
