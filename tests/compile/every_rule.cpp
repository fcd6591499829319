// SPDX-License-Identifier: Apache-2.0
// After every header: what is a template is made for each rule, so that its warnings show too.
#include <vector>

std::vector<fuller::Calibration> every_rule() {
  std::vector<fuller::Calibration> all;
  all.emplace_back(fuller::Uniform(), std::vector<std::string>{"a", "b"});
  all.emplace_back(fuller::Constant({1, 2}), std::vector<std::string>{"a", "b"});
  all.emplace_back(fuller::IMTL_G(), std::vector<std::string>{"a", "b"});
  all.emplace_back(fuller::GradNorm(), std::vector<std::string>{"a", "b"});
  all.emplace_back(fuller::DWA(), std::vector<std::string>{"a", "b"});
  all.emplace_back(fuller::PCGrad(), std::vector<std::string>{"a", "b"});
  all.emplace_back(fuller::WPCGrad(), std::vector<std::string>{"a", "b"});
  all.emplace_back(fuller::WPCGrad(fuller::seg_to_vel(24, 0, 1)), std::vector<std::string>{"a", "b"});
  return all;
}

fuller::Overhead nothing_over_nothing() {
  const auto step = [] {};
  return fuller::measure_overhead(step, step);
}
