// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/config/teacher_list.hpp"

#include <cstddef>
#include <stdexcept>

#include "bevfusion/model/model_config.hpp"

namespace bevfusion {

std::vector<std::pair<std::string, std::string>> teachers_in(const std::string& list) {
  std::vector<std::pair<std::string, std::string>> teachers;
  for (const std::string& entry : names_in(list)) {
    const std::size_t sign = entry.find('=');
    if (sign == std::string::npos || sign == 0 || sign + 1 == entry.size()) {
      throw std::invalid_argument("distillation.teachers holds '" + entry +
                                  "', which is no task=RUN (a folder whose name has a comma cannot be given)");
    }
    const std::string task = entry.substr(0, sign);
    for (const auto& [other, run] : teachers) {
      if (other == task) {
        throw std::invalid_argument("distillation.teachers names two teachers of " + task + ", " + run + " and " +
                                    entry.substr(sign + 1));
      }
    }
    teachers.emplace_back(task, entry.substr(sign + 1));
  }
  return teachers;
}

std::string teacher_list(const std::vector<std::pair<std::string, std::string>>& teachers) {
  std::string list;
  for (const auto& [task, run] : teachers) {
    list += (list.empty() ? "" : ",") + task + "=" + run;
  }
  return list;
}

}  // namespace bevfusion
