// SPDX-License-Identifier: Apache-2.0
// What fuller/graph/libtorch_nodes.hpp takes for granted of LibTorch's nodes: their names, the order of their inputs, what they
// save, the names of their types. See libtorch_assumptions_test.cpp.
#include <cstring>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/graph/libtorch_nodes.hpp>
#include <fuller/graph/node_set.hpp>

#include "support/catch.hpp"
#include "support/probe.hpp"

namespace fuller {
inline namespace v0_1 {
namespace detail::assumed {

/// A function of fuller's, by its namespace, detail.
struct Ours : torch::autograd::Function<Ours> {
  static torch::Tensor forward(torch::autograd::AutogradContext*, const torch::Tensor& x) { return x.clone(); }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 const torch::autograd::variable_list& gradients) {
    return gradients;
  }
};

/// The same with the name that gate()'s node has.
struct BranchGate : torch::autograd::Function<BranchGate> {
  static torch::Tensor forward(torch::autograd::AutogradContext*, const torch::Tensor& x) { return x.clone(); }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 const torch::autograd::variable_list& gradients) {
    return gradients;
  }
};

}  // namespace detail::assumed
}  // namespace v0_1
}  // namespace fuller

using namespace fuller::detail;
using torch::Tensor;

namespace {

/// A function of a user's.
struct Users : torch::autograd::Function<Users> {
  static Tensor forward(torch::autograd::AutogradContext*, const Tensor& x) { return x.clone(); }
  static Gradients backward(torch::autograd::AutogradContext*, const Gradients& gradients) { return gradients; }
};

/// A node of a user's that is no function.
struct UsersNode : Node {
  Gradients apply(Gradients&& gradients) override { return std::move(gradients); }
};

Tensor trained(torch::IntArrayRef sizes) { return torch::rand(sizes, torch::kDouble).set_requires_grad(true); }
std::string name_of(const Tensor& tensor) { return tensor.grad_fn()->name(); }

/// Whether the way from an input of a node leads, through nothing but transpositions, to this leaf.
bool leads_to(const Tensor& output, int position, const Tensor& leaf) {
  if (position < 0 || position >= static_cast<int>(output.grad_fn()->num_outputs())) {
    return false;
  }
  const Node* node = output.grad_fn()->next_edge(static_cast<std::size_t>(position)).function.get();
  while (node != nullptr && is_transposition(node->name())) {
    node = node->next_edge(0).function.get();
  }
  const Tensor* found = node == nullptr ? nullptr : leaf_of(node);
  return found != nullptr && found->is_same(leaf);
}

/// Expects of the node of `output` that fuller knows it as a layer and takes these for its inputs.
void expect_layer(const Tensor& output, const char* name, const Tensor& input, const Tensor& weight, const Tensor& bias = {}) {
  INFO("the node is named " << name_of(output));
  CHECK(name_of(output).rfind(name, 0) == 0);
  LayerEdges edges{-1, -1, -1};
  REQUIRE(known_layer(name_of(output), edges));
  CHECK(reads_weights(name_of(output)));
  CHECK(is_generated(name_of(output)));
  CHECK(leads_to(output, edges.input, input));
  CHECK(leads_to(output, edges.weight, weight));
  if (bias.defined()) {
    CHECK(leads_to(output, edges.bias, bias));
  }
}

}  // namespace

// --- names and places of inputs
// -----------------------------------------------------------------------------------------------------

TEST_CASE("LibTorch: a linear layer's node is AddmmBackward, with bias, input and weight in this order") {
  const Tensor x = trained({2, 3});
  const Tensor w = trained({4, 3});
  const Tensor b = trained({4});
  const Tensor y = torch::linear(x, w, b);
  expect_layer(y, "AddmmBackward", x, w, b);
  CHECK(adds_first(name_of(y)));
}

TEST_CASE(
    "LibTorch: the node of a linear layer without bias, or of a product, is MmBackward, with input and weight in this order") {
  const Tensor x = trained({2, 3});
  const Tensor w = trained({4, 3});
  const Tensor y = torch::linear(x, w);
  expect_layer(y, "MmBackward", x, w);
  CHECK_FALSE(adds_first(name_of(y)));
  const Tensor v = trained({3, 4});
  expect_layer(x.mm(v), "MmBackward", x, v);
}

TEST_CASE("LibTorch: the nodes of bmm and mv are BmmBackward and MvBackward, with input and weight in this order") {
  const Tensor x = trained({2, 3, 4});
  const Tensor w = trained({2, 4, 5});
  expect_layer(x.bmm(w), "BmmBackward", x, w);
  const Tensor matrix = trained({3, 4});
  const Tensor vector = trained({4});
  expect_layer(matrix.mv(vector), "MvBackward", matrix, vector);
}

TEST_CASE("LibTorch: a convolution's node is named after it, with input, weight and bias in this order") {
  const Tensor x = trained({1, 2, 5, 5});
  const Tensor w = trained({3, 2, 3, 3});
  const Tensor b = trained({3});
  expect_layer(torch::conv2d(x, w, b), "ConvolutionBackward", x, w, b);
  expect_layer(torch::conv2d(x, w), "ConvolutionBackward", x, w);
  const Tensor up = trained({2, 3, 3, 3});
  expect_layer(torch::conv_transpose2d(x, up, b), "ConvolutionBackward", x, up, b);
  const Tensor line = trained({1, 2, 5});
  const Tensor kernel = trained({3, 2, 3});
  expect_layer(torch::conv1d(line, kernel, b), "ConvolutionBackward", line, kernel, b);
}

TEST_CASE("LibTorch: the nodes of lookups have names that say so, and the table is an input of theirs") {
  const Tensor table = trained({5, 3});
  const Tensor rows = torch::tensor({0, 2}, torch::kLong);
  const Tensor places = torch::zeros({2, 3}, torch::kLong);
  const std::vector<std::pair<const char*, Tensor>> lookups{{"EmbeddingBackward", torch::embedding(table, rows)},
                                                            {"IndexSelectBackward", table.index_select(0, rows)},
                                                            {"IndexBackward", table.index({rows})},
                                                            {"GatherBackward", table.gather(0, places)}};
  for (const auto& [name, found] : lookups) {
    INFO(name << " is named " << name_of(found));
    CHECK(name_of(found).rfind(name, 0) == 0);
    CHECK(reads_weights(name_of(found)));
    CHECK(leads_to(found, 0, table));
    LayerEdges edges{-1, -1, -1};
    CHECK_FALSE(known_layer(name_of(found), edges));
  }
}

TEST_CASE("LibTorch: the first input of nodes named Addmv, Addbmm and Baddbmm is what they add to a product") {
  const Tensor vector = trained({3});
  const Tensor matrix = trained({3, 4});
  const Tensor a = trained({2, 3, 4});
  const Tensor b = trained({2, 4, 5});
  const Tensor one = trained({3, 5});
  const Tensor batch = trained({2, 3, 5});
  const std::vector<std::pair<Tensor, Tensor>> sums{{torch::addmv(vector, matrix, trained({4})), vector},
                                                    {torch::addbmm(one, a, b), one},
                                                    {torch::baddbmm(batch, a, b), batch}};
  for (const auto& [sum, first] : sums) {
    INFO("the node is named " << name_of(sum));
    CHECK(adds_first(name_of(sum)));
    CHECK(reads_weights(name_of(sum)));
    CHECK(leads_to(sum, 0, first));
  }
}

TEST_CASE("LibTorch: what takes parameters in element by element has no name of a product or a lookup") {
  const Tensor x = trained({2, 3});
  const Tensor w = trained({2, 3});
  const Tensor scale = trained({3});
  for (const Tensor& y : {x * w, x + w, x - w, x / w, torch::cat({x, w}), torch::stack({x, w}), torch::layer_norm(x, {3}, scale),
                          torch::batch_norm(x, scale, {}, {}, {}, true, 0.1, 1e-5, false), torch::where(x > 0, x, w),
                          torch::prelu(x, scale), x.maximum(w), x.sum()}) {
    INFO("the node is named " << name_of(y));
    CHECK(is_generated(name_of(y)));
    CHECK_FALSE(reads_weights(name_of(y)));
    LayerEdges edges{-1, -1, -1};
    CHECK_FALSE(known_layer(name_of(y), edges));
  }
  CHECK(is_elementwise_product(name_of(x * w)));
  CHECK_FALSE(is_elementwise_product(name_of(x + w)));
  CHECK(is_addition(name_of(x + w)));
  CHECK_FALSE(is_addition(name_of(x * w)));
  CHECK(is_transposition(name_of(x.t())));
  CHECK(is_transposition(name_of(x.transpose(0, 1))));
  CHECK_FALSE(is_transposition(name_of(x.tanh())));
}

TEST_CASE("LibTorch: bounded activations are named in full, and those without a bound begin otherwise") {
  const Tensor x = trained({2, 4});
  for (const Tensor& y : {x.sigmoid(), torch::hardsigmoid(x), x.softmax(1), torch::hardtanh(x)}) {
    INFO("the node is named " << name_of(y));
    CHECK(is_bounded(name_of(y)));
  }
  for (const Tensor& y :
       {torch::log_sigmoid(x), x.log_softmax(1), x.clamp_min(0), x.relu(), torch::silu(x), torch::hardswish(x)}) {
    INFO("the node is named " << name_of(y));
    CHECK_FALSE(is_bounded(name_of(y)));
  }
}

TEST_CASE("LibTorch: the nodes of views and casts, which change no value, have names that fuller knows") {
  const Tensor x = trained({2, 3, 1}) * 1;
  for (const Tensor& y : {x.view({6}), x.reshape({3, 2}), x.transpose(0, 1).reshape({6}), x.permute({2, 0, 1}), x.transpose(0, 1),
                          x.squeeze(2), x.unsqueeze(0), x.expand({2, 3, 4}), x.to(torch::kFloat), torch::alias(x), x.flatten()}) {
    INFO("the node is named " << name_of(y));
    CHECK(only_rearranges(name_of(y)));
  }
  CHECK(only_rearranges(name_of(x.squeeze(2).t())));
  for (const Tensor& y : {x * 2, x.tanh(), x + 1, x.cumsum(0)}) {
    INFO("the node is named " << name_of(y));
    CHECK_FALSE(only_rearranges(name_of(y)));
  }
}

TEST_CASE("LibTorch: nodes that its generator wrote have Backward in their name and no namespace, all others have one") {
  const Tensor x = trained({2, 3});
  CHECK(is_generated(name_of(x * 2)));
  CHECK_FALSE(is_generated(gradient_edge(x).function->name()));
  CHECK_FALSE(is_generated(name_of(Users::apply(x))));
  CHECK(reads_weights(name_of(Users::apply(x))));
}

// --- what nodes save
// ----------------------------------------------------------------------------------------------------------------

TEST_CASE("LibTorch: a linear layer's node gives its saved input, without a copy") {
  const Tensor x = torch::rand({2, 3}, torch::kDouble);
  const Tensor hidden = trained({2, 3}) * 2;
  const Tensor w = trained({4, 3});
  const Tensor b = trained({4});
  for (const Tensor& input : {x, hidden}) {
    for (const Tensor& y : {torch::linear(input, w, b), torch::linear(input, w)}) {
      INFO("the node is named " << name_of(y));
      const Tensor saved = linear_input(*y.grad_fn());
      REQUIRE(saved.defined());
      CHECK(saved.data_ptr() == input.data_ptr());
      CHECK(saved.sizes() == input.sizes());
      CHECK(saved.strides() == input.strides());
    }
  }
  CHECK_FALSE(linear_input(*torch::addmm(b, x, w.t(), 1, 2).grad_fn()).defined());  // scaled: not the input of x W^T
  CHECK(linear_input(*torch::addmm(b, x, w.t(), 2, 1).grad_fn()).defined());
  CHECK_FALSE(linear_input(*(x * w[0]).grad_fn()).defined());
}

TEST_CASE(
    "LibTorch: a product's node gives a weight that needs no gradient as the module holds it, until a backward is through") {
  const Tensor x = trained({2, 3});
  const Tensor w = torch::rand({4, 3}, torch::kDouble);
  const Tensor b = trained({4});
  for (const Tensor& y : {torch::linear(x, w, b), torch::linear(x, w)}) {
    INFO("the node is named " << name_of(y));
    CHECK(untrained_weight(*y.grad_fn()).is_same(w));
    CHECK_FALSE(y.grad_fn()->next_edge(name_of(y).rfind("Addmm", 0) == 0 ? 2 : 1).function);  // by which it is told
    y.sum().backward();
    CHECK_FALSE(untrained_weight(*y.grad_fn()).defined());
  }
  const Tensor v = torch::rand({3, 4}, torch::kDouble);
  CHECK(untrained_weight(*x.mm(v).grad_fn()).is_same(v));
  const Tensor image = trained({1, 2, 5, 5});
  const Tensor kernel = torch::rand({3, 2, 3, 3}, torch::kDouble);
  const Tensor y = torch::conv2d(image, kernel);
  CHECK(untrained_weight(*y.grad_fn()).is_same(kernel));
  y.sum().backward();
  CHECK_FALSE(untrained_weight(*y.grad_fn()).defined());
  CHECK_FALSE(untrained_weight(*(x * 2).grad_fn()).defined());
}

// --- names of types
// -----------------------------------------------------------------------------------------------------------------

TEST_CASE("LibTorch: the type's name of a CppNode of ours holds our namespace, and of a user's does not") {
  const Tensor x = trained({2});
  const Tensor ours = fuller::detail::assumed::Ours::apply(x);
  const Tensor users = Users::apply(x);
  const auto type_name = [](const Tensor& tensor) {
    const Node& node = *tensor.grad_fn();
    return typeid(node).name();
  };
  INFO(type_name(ours) << ", " << type_name(users));
  CHECK(is_ours(type_name(ours)));
  CHECK_FALSE(is_ours(type_name(users)));
  CHECK_FALSE(is_ours(type_name(x * 2)));
  CHECK(std::strstr(type_name(users), "CppNode") != nullptr);
  CHECK_FALSE(is_custom(*ours.grad_fn()));
  CHECK(is_custom(*users.grad_fn()));
  const fuller::testing::Probe::Call nothing = [] {};
  CHECK(is_custom(*fuller::testing::Probe::apply(x, &nothing).grad_fn()));  // beside fuller::detail
  CHECK(is_custom(UsersNode()));
}

TEST_CASE("LibTorch: the type's name of a CppNode holds the name of its function, by which gates are told") {
  const Tensor x = trained({2});
  CHECK(is_branch_gate(*fuller::detail::assumed::BranchGate::apply(x).grad_fn()));
  CHECK_FALSE(is_branch_gate(*fuller::detail::assumed::Ours::apply(x).grad_fn()));
  CHECK_FALSE(is_branch_gate(*Users::apply(x).grad_fn()));
  CHECK_FALSE(is_branch_gate(*(x * 2).grad_fn()));
}

TEST_CASE("LibTorch's own nodes have N5torch in their type's name") {
  const Tensor x = trained({2, 3});
  const Tensor w = trained({4, 3});
  const Tensor image = trained({1, 2, 5, 5});
  Tensor written = x * 1;
  written.slice(0, 0, 1).mul_(2);  // CopySlices
  for (const Tensor& y : {x * 2, torch::linear(x, w), torch::conv2d(image, trained({3, 2, 3, 3})), x.softmax(1), written}) {
    const Node& node = *y.grad_fn();
    INFO(typeid(node).name() << ", the node is named " << node.name());
    CHECK(std::strstr(typeid(node).name(), "N5torch") != nullptr);
    CHECK_FALSE(is_custom(node));
  }
  CHECK_FALSE(is_custom(*gradient_edge(x).function));
}

TEST_CASE("LibTorch: nodes that its generator wrote, and copies, give nothing where they are given nothing") {
  const auto doubles = torch::TensorOptions(torch::kDouble);
  const Tensor x = trained({2, 4, 6, 6});
  const Tensor rows = trained({4, 4});
  const Tensor kernel = trained({3, 4, 3, 3});
  const Tensor vector = trained({4});
  const Tensor mean = torch::zeros({4}, doubles);
  const Tensor variance = torch::ones({4}, doubles);
  const Tensor index = torch::tensor({1, 0, 3, 3});
  Tensor written = rows.clone();
  written.index_put_({index}, trained({4}));
  const std::vector<Tensor> all{
      torch::conv2d(x, kernel, trained({3})),
      torch::conv2d(x, kernel, {}, 2, 1),
      torch::conv_transpose2d(x, trained({4, 2, 2, 2})),
      torch::linear(rows, rows, vector),
      torch::linear(trained({2, 3, 4}), rows, vector),
      rows.mm(rows),
      rows.mv(vector),
      torch::matmul(trained({2, 3, 4}), trained({2, 4, 5})),
      torch::batch_norm(x, vector, vector, mean, variance, true, 0.1, 1e-5, false),
      torch::batch_norm(x, vector, vector, mean, variance, false, 0.1, 1e-5, false),
      torch::layer_norm(rows, {4}, vector, vector),
      torch::group_norm(x, 2, vector, vector),
      torch::instance_norm(x, vector, vector, {}, {}, true, 0.1, 1e-5, false),
      torch::relu(x),
      torch::gelu(x),
      torch::silu(x),
      torch::tanh(x),
      torch::sigmoid(x),
      torch::leaky_relu(x),
      torch::elu(x),
      torch::softplus(x),
      torch::prelu(x, vector),
      torch::hardswish(x),
      torch::softmax(rows, 1),
      torch::log_softmax(rows, 1),
      torch::max_pool2d(x, 2),
      torch::avg_pool2d(x, 2),
      torch::adaptive_avg_pool2d(x, {2, 2}),
      std::get<0>(torch::adaptive_max_pool2d(x, {2, 2})),
      torch::upsample_nearest2d(x, {12, 12}),
      torch::upsample_bilinear2d(x, {12, 12}, false),
      torch::grid_sampler(x, trained({2, 3, 3, 2}), 0, 0, false),
      torch::dropout(x, 0.5, true),
      torch::cat({rows, rows}),
      torch::stack({rows, rows}),
      rows.split(2)[0] + rows.split(2)[1],
      rows.chunk(2, 1)[1],
      rows.slice(0, 1, 3),
      rows.index_select(0, index),
      rows.index({index}),
      rows.gather(1, index.view({4, 1})),
      rows.scatter_add(1, index.view({4, 1}), trained({4, 1})),
      rows.index_add(0, index, trained({4, 4})),
      written,
      rows.masked_fill(rows > 0, 0),
      torch::where(rows > 0, rows, rows * 2),
      torch::embedding(rows, index),
      rows.transpose(0, 1),
      x.permute({0, 2, 3, 1}),
      x.reshape({2, -1}),
      x.expand({2, 4, 6, 6}) * 2,
      rows.unsqueeze(0).squeeze(0),
      torch::pad(x, {1, 1}),
      rows.flip(0),
      rows.roll(1, 0),
      rows + vector,
      rows - vector,
      rows * vector,
      rows / vector,
      rows.pow(2),
      rows.exp(),
      rows.abs().sqrt(),
      rows.clamp(-1, 1),
      rows.sum(1),
      rows.mean(),
      rows.norm(),
      std::get<0>(rows.max(1)),
      torch::maximum(rows, rows * 2),
      torch::einsum("ij,jk->ik", {rows, rows}),
      torch::bmm(trained({2, 3, 4}), trained({2, 4, 5})),
      torch::cumsum(rows, 0),
      rows.to(torch::kFloat),
      torch::cdist(rows, rows * 2),
      std::get<0>(rows.sort(1)),
      torch::zeros({4, 4}, doubles).copy_(rows),
  };
  std::vector<Node*> open;
  for (const Tensor& y : all) {
    open.push_back(gradient_edge(y).function.get());
  }
  NodeSet seen;
  std::size_t asked = 0;
  while (!open.empty()) {  // and all that a composed operation is made of
    Node* const node = open.back();
    open.pop_back();
    if (!seen.insert(node)) {
      continue;
    }
    for (const Edge& edge : node->next_edges()) {
      if (edge.function) {
        open.push_back(edge.function.get());
      }
    }
    if (leaf_of(node) != nullptr) {
      continue;
    }
    INFO("the node is named " << node->name());
    CHECK(is_plainly_linear(*node));
    const torch::autograd::variable_list given(node->num_inputs());
    for (const Tensor& sent : (*node)(torch::autograd::variable_list(given))) {
      CHECK_FALSE(sent.defined());
    }
    ++asked;
  }
  CHECK(asked > 75);
  Tensor viewed = rows.clone();
  viewed.slice(0, 0, 1).mul_(2);
  CHECK_FALSE(is_plainly_linear(*viewed.grad_fn()));  // CopySlices, which may hold any function
  CHECK_FALSE(is_plainly_linear(*gradient_edge(rows).function));
  CHECK_FALSE(is_plainly_linear(*Users::apply(rows).grad_fn()));
  CHECK_FALSE(is_plainly_linear(*fuller::detail::assumed::Ours::apply(rows).grad_fn()));
  CHECK_FALSE(is_plainly_linear(UsersNode()));
}
