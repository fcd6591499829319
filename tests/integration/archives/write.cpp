// SPDX-License-Identifier: Apache-2.0
// Wrote the archives of this folder, and printed what 0.1.0 did in the steps after them. Compiled with the headers of 0.1.0
// (commit c7bef92) and LibTorch 1.13, and never since:
//   g++ -std=c++17 -I OLD/include -I tests -I /usr/include/eigen3 -I /usr/include/torch/csrc/api/include
//   tests/integration/archives/write.cpp -ltorch_cpu -lc10 -lglog -o write && ./write FOLDER
#include "integration/archives/steps.hpp"

namespace {

void list(const char* name, const std::vector<double>& values) {
  std::printf("%s{", name);
  for (std::size_t k = 0; k < values.size(); ++k) {
    std::printf("%s%.17g", k == 0 ? "" : ", ", values[k]);
  }
  std::printf("}");
}

}  // namespace

int main(int, char** arguments) {
  const std::string folder = arguments[1];
  for (const archives::Case& made : archives::cases()) {
    fuller::Calibration calibration = made.make();
    std::printf("    {\"%s\",\n     {", made.file.c_str());
    for (int k = 0; k < archives::steps; ++k) {
      if (k == archives::saved_after) {
        torch::save(calibration, folder + "/" + made.file + ".pt");
      }
      archives::step(calibration, made.gated, k);
      if (k >= archives::saved_after) {
        const fuller::Diagnostics seen = calibration.diagnostics();
        std::printf(k == archives::saved_after ? "" : ",\n      ");
        list("{", seen.weights);
        list(", ", seen.gates);
        std::printf("}");
      }
    }
    std::printf("}},\n");
  }
  fuller::Calibration custom(fuller::EigenRule<archives::Inverse>(archives::Inverse()), {"a", "b", "c"});
  archives::step(custom, false, 0);
  torch::save(custom, folder + "/custom_rule.pt");
}
