// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/config/run_options.hpp"

#include <iostream>
#include <memory>
#include <stdexcept>
#include <utility>

#include "bevfusion/config/config_fields.hpp"
#include "bevfusion/config/config_option.hpp"

namespace bevfusion {
namespace {

constexpr const char* common_group = "Fields chosen often (--help-all shows all, --print-config their values)";

/// Options of this group are taken, but not shown. (CLI11 hides a group without a name, and forgets the names of its options in
/// errors.)
constexpr const char* hidden_group = "Shown by --help-all";

class BriefFormatter : public CLI::Formatter {
 public:
  std::string make_group(std::string group, bool is_positional, std::vector<const CLI::Option*> options) const override {
    return group == hidden_group ? "" : Formatter::make_group(std::move(group), is_positional, std::move(options));
  }
};

std::string group_of(const ConfigField& field) {
  const std::string section = field.section();
  return section.empty() ? "Run" : "Section " + section;
}

}  // namespace

RunOptions::RunOptions(CLI::App& command) : fields_(fields_of(shown_)) {
  command.formatter(std::make_shared<BriefFormatter>());
  command
      .add_option("--config", file_,
                  "TOML file of all fields or some. The others have the defaults of its `size` (full unless given); options "
                  "given here win")
      ->type_name("FILE")
      ->check(CLI::ExistingFile);
  for (const ConfigField& field : fields_) {
    options_.push_back(add_option(command, field)->group(field.alias.empty() ? hidden_group : common_group));
  }
  command.add_flag_callback(
      "--print-config",
      [this] {
        write_config(config(), std::cout);
        throw CLI::Success();
      },
      "Print all fields with their values as a config file, and end");
  command.add_flag_callback(
      "--help-all", [this] { show_all(); }, "Print this help with all fields, and end");
}

void RunOptions::show_all() {
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    options_[i]->group(group_of(fields_[i]));
  }
  throw CLI::CallForHelp();
}

std::vector<ConfigEntry> RunOptions::given() const {
  std::vector<ConfigEntry> entries;
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    if (options_[i]->count() > 0) {
      entries.push_back({fields_[i].name, options_[i]->results(), ""});
    }
  }
  return entries;
}

RunConfig RunOptions::config() const {
  const std::vector<ConfigEntry> of_line = given();
  std::vector<ConfigEntry> of_file;
  if (!file_.empty()) {
    of_file = read_entries(file_);
  }
  std::string size = size_among(of_line);
  if (size.empty()) {
    size = size_among(of_file);
  }
  RunConfig config = run_of_size(size.empty() ? "full" : size);
  apply(of_file, config, file_);
  apply(of_line, config, "command line");
  complete(config);
  check(config);
  return config;
}

RunConfig RunOptions::over(RunConfig base) const {
  const std::string size = base.size;
  if (!file_.empty()) {
    apply(read_entries(file_), base, file_);
  }
  apply(given(), base, "command line");
  if (base.size != size) {
    throw std::invalid_argument("size: this run is of size " + size + " and cannot become " + base.size);
  }
  complete(base);
  check(base);
  return base;
}

}  // namespace bevfusion
