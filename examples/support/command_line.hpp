// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>

#include <CLI/CLI.hpp>

#include "number_range.hpp"
#include "one_thread.hpp"
#include "standard_streams.hpp"

namespace example {

/// An option that takes a number of `least` to `most`.
template <class Number>
CLI::Option* add_number(CLI::App& app, const char* name, Number& value, const char* explain, double least, double most) {
  return app.add_option(name, value, explain)->check(number_within<Number>(least, most))->type_name("N");
}

/// An option that takes a folder.
inline CLI::Option* add_folder(CLI::App& app, const char* name, std::string& folder, const char* explain) {
  return app.add_option(name, folder, explain)->type_name("DIR")->capture_default_str();
}

inline CLI::Option* add_garments_folder(CLI::App& app, std::string& folder) {
  return add_folder(app, "--data", folder, "Folder with Fashion-MNIST's four IDX files, .gz or not");
}

/// @throws std::invalid_argument where there is no whole batch
inline void expect_whole_batch(std::int64_t batch, std::int64_t samples) {
  if (batch > samples) {
    throw std::invalid_argument("--batch is " + std::to_string(batch) + ", more than the " + std::to_string(samples) +
                                " samples");
  }
}

/// The main() of an example: `run` with one thread for each of its trainings; an error becomes a line and exit status 1.
inline int run_example(const char* name, int argc, char** argv, int (*run)(int, char**)) {
  prepare_standard_streams();
  run_with_one_thread_each(argv);
  int status = 1;
  try {
    status = run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << name << ": " << reason_of(error) << std::endl;
  }
  return exit_status(name, status);
}

}  // namespace example
