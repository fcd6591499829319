// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/model/batch_norm.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <torch/torch.h>

namespace bevfusion {
namespace {

/// Which sums a node adds up, inside what LibTorch keeps for its backward.
struct Place : torch::CustomClassHolder {
  Place(std::shared_ptr<NormSums> of, std::size_t which) : sums(std::move(of)), layer(which) {}
  std::shared_ptr<NormSums> sums;
  std::size_t layer;
};

/// A number a channel, in the shape of the input.
torch::Tensor a_channel(const torch::Tensor& numbers, const torch::Tensor& input) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(input.dim()), 1);
  shape[1] = -1;
  return numbers.to(input.scalar_type()).view(shape);
}

torch::Tensor given(const torch::Tensor& input, const torch::Tensor& weight, const torch::Tensor& bias, const torch::Tensor& mean,
                    const torch::Tensor& variance, double eps) {
  return torch::batch_norm(input, weight, bias, mean, variance, /*training=*/false, 0, eps, /*cudnn_enabled=*/false);
}

/// Normalises by statistics of all ranks, of which those of this rank's samples are a part: so what arrives at any rank's samples
/// changes the gradient of all.
struct Normalise : torch::autograd::Function<Normalise> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& input, const torch::Tensor& weight,
                               const torch::Tensor& bias, const torch::Tensor& mean, const torch::Tensor& variance,
                               const torch::Tensor& count, double eps, const c10::intrusive_ptr<Place>& place) {
    context->save_for_backward({input, weight, mean, variance, count});
    context->saved_data["eps"] = eps;
    context->saved_data["place"] = c10::IValue::make_capsule(place);
    return input.numel() == 0 ? input.clone() : given(input, weight, bias, mean, variance, eps);
  }

  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context,
                                               torch::autograd::tensor_list gradients) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const torch::Tensor &input = saved[0], &weight = saved[1], &mean = saved[2], &variance = saved[3], &count = saved[4];
    const double eps = context->saved_data["eps"].toDouble();
    const auto place = c10::static_intrusive_pointer_cast<Place>(context->saved_data["place"].toCapsule());
    const std::int64_t channels = weight.numel();
    torch::Tensor of_input = torch::zeros_like(input);
    torch::Tensor of_weight = torch::zeros_like(weight);
    torch::Tensor of_bias = torch::zeros_like(weight);
    if (input.numel() > 0) {
      // As if the statistics were constants: their part follows from the sums.
      std::tie(of_input, of_weight, of_bias) = at::native_batch_norm_backward(
          gradients[0].contiguous(), input, weight, mean, variance, {}, {}, /*train=*/false, eps, {true, true, true});
    }
    const torch::Tensor mine = torch::cat({of_bias.to(torch::kDouble), of_weight.to(torch::kDouble)});
    const torch::Tensor sums = place->sums->over_ranks(mine, place->layer, /*backward=*/true);
    if (input.numel() > 0) {
      const torch::Tensor inverse = (variance.to(torch::kDouble) + eps).rsqrt();
      const torch::Tensor scale = weight.to(torch::kDouble) * inverse / count;
      const torch::Tensor slope = scale * inverse * sums.narrow(0, channels, channels);
      of_input.sub_((input - a_channel(mean, input)).mul_(a_channel(slope, input)));
      of_input.sub_(a_channel(scale * sums.narrow(0, 0, channels), input));
    }
    torch::autograd::tensor_list out(8);
    out[0] = of_input;
    out[1] = of_weight;
    out[2] = of_bias;
    return out;
  }
};

}  // namespace

BatchNormImpl::BatchNormImpl(const torch::nn::BatchNormOptions& of_layer) : options(of_layer) {
  const std::int64_t channels = options.num_features();
  weight = register_parameter("weight", torch::ones({channels}));
  bias = register_parameter("bias", torch::zeros({channels}));
  running_mean = register_buffer("running_mean", torch::zeros({channels}));
  running_var = register_buffer("running_var", torch::ones({channels}));
  num_batches_tracked = register_buffer("num_batches_tracked", torch::tensor(0, torch::kLong));
}

void BatchNormImpl::add_up_by(std::shared_ptr<NormSums> sums, std::size_t layer) {
  sums_ = std::move(sums);
  layer_ = layer;
}

torch::Tensor BatchNormImpl::forward(const torch::Tensor& input) {
  double momentum = options.momentum().value_or(0);
  if (is_training()) {
    num_batches_tracked += 1;
    momentum = options.momentum() ? *options.momentum() : 1 / num_batches_tracked.item<double>();
    if (adds_up()) {
      return over_ranks(input, momentum);
    }
  }
  return torch::nn::functional::detail::batch_norm(input, running_mean, running_var, weight, bias, is_training(), momentum,
                                                   options.eps());
}

torch::Tensor BatchNormImpl::over_ranks(const torch::Tensor& input, double momentum) {
  const std::int64_t channels = weight.numel();
  torch::Tensor mean;
  torch::Tensor variance;
  torch::Tensor count;
  {
    const torch::NoGradGuard no_grad;
    const auto doubles = weight.options().dtype(torch::kDouble).requires_grad(false);
    // Around what was learnt, which all ranks have and which is near the mean: squares then lose nothing.
    const torch::Tensor around = running_mean.to(torch::kDouble);
    torch::Tensor mine = torch::zeros({2 * channels + 1}, doubles);
    if (input.numel() > 0) {
      std::vector<std::int64_t> all_but_channels;
      for (std::int64_t d = 0; d < input.dim(); ++d) {
        if (d != 1) {
          all_but_channels.push_back(d);
        }
      }
      const auto values = static_cast<double>(input.numel() / channels);
      const torch::Tensor exact = input.scalar_type() == torch::kDouble ? input : input.to(torch::kFloat);
      const auto [of_variance, of_mean] =
          torch::var_mean(exact, at::IntArrayRef(all_but_channels), /*unbiased=*/false, /*keepdim=*/false);
      const torch::Tensor off = of_mean.to(torch::kDouble) - around;
      mine.narrow(0, 0, channels).copy_(off * values);
      mine.narrow(0, channels, channels).copy_((of_variance.to(torch::kDouble) + off * off) * values);
      mine.narrow(0, 2 * channels, 1).fill_(values);
    }
    const torch::Tensor sums = sums_->over_ranks(mine, layer_, /*backward=*/false);
    count = sums.narrow(0, 2 * channels, 1).round();
    const double all = count.item<double>();
    if (all <= 1) {
      mean = running_mean;
      variance = running_var;
    } else {
      const torch::Tensor off = sums.narrow(0, 0, channels) / count;
      const torch::Tensor spread = (sums.narrow(0, channels, channels) / count - off * off).clamp_min(0);
      mean = (around + off).to(running_mean.scalar_type());
      variance = spread.to(running_var.scalar_type());
      running_mean.mul_(1 - momentum).add_(mean, momentum);
      running_var.mul_(1 - momentum).add_((spread * (all / (all - 1))).to(running_var.scalar_type()), momentum);
    }
  }
  if (mean.is_same(running_mean)) {
    return input.numel() == 0 ? input : given(input, weight, bias, mean, variance, options.eps());
  }
  return Normalise::apply(input, weight, bias, mean, variance, count, options.eps(), c10::make_intrusive<Place>(sums_, layer_));
}

std::shared_ptr<NormSums> synchronise_batch_norm(torch::nn::Module& network, fuller::Ranks ranks) {
  std::vector<BatchNormImpl*> norms;
  std::vector<std::string> names;
  std::int64_t channels = 0;
  for (const auto& module : network.named_modules("", /*include_self=*/false)) {
    const auto* const own = module.value().get();
    if (dynamic_cast<const torch::nn::BatchNorm1dImpl*>(own) != nullptr ||
        dynamic_cast<const torch::nn::BatchNorm2dImpl*>(own) != nullptr ||
        dynamic_cast<const torch::nn::BatchNorm3dImpl*>(own) != nullptr) {
      throw std::invalid_argument("training.sync_batch_norm: " + module.key() +
                                  " is LibTorch's batch norm, which sees its rank alone; make it a bevfusion::BatchNorm "
                                  "(bevfusion/model/batch_norm.hpp), or set training.sync_batch_norm to false");
    }
    if (auto* const norm = dynamic_cast<BatchNormImpl*>(module.value().get())) {
      norms.push_back(norm);
      names.push_back(module.key());
      channels = std::max(channels, norm->weight.numel());
    }
  }
  auto sums = std::make_shared<NormSums>(std::move(ranks), std::move(names), channels);
  for (std::size_t layer = 0; layer < norms.size(); ++layer) {
    norms[layer]->add_up_by(sums, layer);
  }
  return sums;
}

}  // namespace bevfusion
