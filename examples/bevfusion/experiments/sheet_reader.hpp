// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include <toml++/toml.h>

namespace bevfusion {

/// Takes values out of a table of a TOML file, and knows which keys it was asked for.
class SheetReader {
 public:
  SheetReader(const toml::table& table, std::string file) : table_(table), file_(std::move(file)) {}

  /// Where the key is not there, the variable stays as it is.
  void take(const char* key, std::string& into);
  void take(const char* key, bool& into);
  void take(const char* key, double& into);
  void take(const char* key, int& into);
  void take(const char* key, std::vector<std::string>& into);
  void take(const char* key, std::map<std::string, double>& into);
  void take(const char* key, std::map<std::string, int>& into);
  void take(const char* key, std::map<std::string, std::string>& into);
  void take(const char* key, std::map<std::string, std::vector<std::string>>& into);
  /// The tables of an array [[key]]; empty where it is not there.
  std::vector<const toml::table*> tables(const char* key);

  /// @throws std::invalid_argument: FILE:LINE:COLUMN: what, at the table or at one of its keys
  [[noreturn]] void refuse(const std::string& what, const char* key = nullptr) const;
  /// Refuses a key that nothing asked for.
  void expect_no_other() const;
  /// Refuses an empty text.
  void require(const char* key, const std::string& value) const;

 private:
  const toml::node* find(const char* key);

  const toml::table& table_;
  std::string file_;
  std::set<std::string> known_;
};

}  // namespace bevfusion
