// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <istream>
#include <map>
#include <memory>
#include <string>

namespace bevfusion {

/// The entries of a zip file that are stored, not compressed, as all data of torch.save and torch::save is. Names go without the
/// folder that all of them share. Large files are read entry by entry; sizes and places are checked against the file's.
class ZipFile {
 public:
  /// @throws DataError for a file that is no zip file or cut short
  explicit ZipFile(const std::filesystem::path& path);
  /// @param file  can be sought in
  /// @param name  for error messages
  ZipFile(std::unique_ptr<std::istream> file, std::string name);

  const std::string& name() const { return name_; }
  bool has(const std::string& entry) const { return entries_.count(entry) != 0; }
  /// @throws DataError for an entry that is not there
  std::uint64_t size(const std::string& entry) const { return find(entry).size; }
  /// The first `size` bytes of an entry, into memory that holds as many.
  /// @throws DataError for an entry that is not there, shorter or compressed
  void read(const std::string& entry, void* into, std::uint64_t size);
  std::string read(const std::string& entry);

 private:
  struct Entry {
    std::uint64_t header = 0;  ///< where its local header lies
    std::uint64_t size = 0;
    bool stored = true;  ///< not compressed
  };

  const Entry& find(const std::string& entry) const;
  std::string bytes_at(std::uint64_t place, std::uint64_t count);
  void read_directory();
  void strip_shared_folder();

  std::string name_;
  std::unique_ptr<std::istream> file_;
  std::uint64_t length_ = 0;
  std::map<std::string, Entry> entries_;
};

}  // namespace bevfusion
