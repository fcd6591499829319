#include <torch/torch.h>
#include <fuller/core/evidence.hpp>
#include <iostream>
int main() {
  auto x = torch::ones({2, 2}, torch::requires_grad());
  (x * x).sum().backward();
  std::cout << x.grad() << torch::cuda::is_available() << std::endl;
}
