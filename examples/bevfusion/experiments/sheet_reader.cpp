// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/experiments/sheet_reader.hpp"

#include <stdexcept>

#include "support/nearest.hpp"

namespace bevfusion {

const toml::node* SheetReader::find(const char* key) {
  known_.insert(key);
  return table_.get(key);
}

void SheetReader::refuse(const std::string& what, const char* key) const {
  const toml::node* node = key == nullptr ? nullptr : table_.get(key);
  const toml::source_position at = (node == nullptr ? table_.source() : node->source()).begin;
  throw std::invalid_argument(file_ + ":" + std::to_string(at.line) + ":" + std::to_string(at.column) + ": " + what);
}

void SheetReader::take(const char* key, std::string& into) {
  if (const toml::node* node = find(key)) {
    if (!node->is_string()) {
      refuse(std::string(key) + " is no text", key);
    }
    into = node->as_string()->get();
  }
}

void SheetReader::take(const char* key, bool& into) {
  if (const toml::node* node = find(key)) {
    if (!node->is_boolean()) {
      refuse(std::string(key) + " is neither true nor false", key);
    }
    into = node->as_boolean()->get();
  }
}

void SheetReader::take(const char* key, double& into) {
  if (const toml::node* node = find(key)) {
    if (!node->is_number()) {
      refuse(std::string(key) + " is no number", key);
    }
    into = node->value<double>().value();
  }
}

void SheetReader::take(const char* key, int& into) {
  if (const toml::node* node = find(key)) {
    if (!node->is_integer()) {
      refuse(std::string(key) + " is no whole number", key);
    }
    into = static_cast<int>(node->as_integer()->get());
  }
}

void SheetReader::take(const char* key, std::vector<std::string>& into) {
  const toml::node* node = find(key);
  if (node == nullptr) {
    return;
  }
  if (!node->is_array()) {
    refuse(std::string(key) + " is no list", key);
  }
  into.clear();
  for (const toml::node& one : *node->as_array()) {
    if (!one.is_string()) {
      refuse(std::string(key) + " has something that is no text", key);
    }
    into.push_back(one.as_string()->get());
  }
}

namespace {

template <class Value>
void take_each(const toml::table& table, const std::string& file, std::map<std::string, Value>& into) {
  SheetReader members(table, file);
  for (const auto& [name, node] : table) {
    members.take(std::string(name.str()).c_str(), into[std::string(name.str())]);
  }
}

}  // namespace

#define BEVFUSION_TAKE_TABLE(Value)                                             \
  void SheetReader::take(const char* key, std::map<std::string, Value>& into) { \
    if (const toml::node* node = find(key)) {                                   \
      if (!node->is_table()) {                                                  \
        refuse(std::string(key) + " is no table", key);                         \
      }                                                                         \
      into.clear();                                                             \
      take_each(*node->as_table(), file_, into);                                \
    }                                                                           \
  }
BEVFUSION_TAKE_TABLE(double)
BEVFUSION_TAKE_TABLE(int)
BEVFUSION_TAKE_TABLE(std::string)
BEVFUSION_TAKE_TABLE(std::vector<std::string>)
#undef BEVFUSION_TAKE_TABLE

std::vector<const toml::table*> SheetReader::tables(const char* key) {
  std::vector<const toml::table*> out;
  const toml::node* node = find(key);
  if (node == nullptr) {
    return out;
  }
  if (!node->is_array_of_tables()) {
    refuse(std::string(key) + " is no list of tables: each begins with [[" + key + "]]", key);
  }
  for (const toml::node& one : *node->as_array()) {
    out.push_back(one.as_table());
  }
  return out;
}

void SheetReader::expect_no_other() const {
  for (const auto& [name, node] : table_) {
    const std::string key(name.str());
    if (known_.count(key) == 0) {
      refuse("there is no key '" + key + "'" + example::did_you_mean(key, {known_.begin(), known_.end()}), key.c_str());
    }
  }
}

void SheetReader::require(const char* key, const std::string& value) const {
  if (value.empty()) {
    refuse(std::string(key) + " is missing");
  }
}

}  // namespace bevfusion
