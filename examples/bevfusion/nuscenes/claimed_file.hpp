// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>

namespace bevfusion {

/// A file that one process makes under another name, FILE.part, while others wait: whoever has FILE.part locked makes it. The
/// system takes the lock from a process that ends, in whatever way; what that one left is written over by the next.
class ClaimedFile {
 public:
  using Lock = int (*)(int handle, int operation);

  /// @param lock  flock(2)
  explicit ClaimedFile(std::filesystem::path file, Lock lock = nullptr);
  /// Gives the claim up. A file that was not put in place is gone.
  ~ClaimedFile();
  ClaimedFile(const ClaimedFile&) = delete;
  ClaimedFile& operator=(const ClaimedFile&) = delete;

  enum class Claim { made, others, refused };
  /// @return others: another process has it, or just had it; refused: error() says why the system does not let it be written.
  ///         On a file system without locks everybody makes it, each under another name, and the last one's stays.
  Claim claim();
  int error() const { return error_; }

  /// Returns whether the system took it; else error() says why not.
  bool write(const void* bytes, std::size_t count);
  /// Gives the file its name, in place of one that had it.
  bool put_in_place();

 private:
  Claim claim_without_lock();

  std::filesystem::path file_;
  std::filesystem::path part_;
  Lock lock_;
  int handle_ = -1;
  int error_ = 0;
};

}  // namespace bevfusion
