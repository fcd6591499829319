// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <istream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <torch/types.h>

namespace bevfusion {

/// How a tensor of another program becomes one of ours.
enum class Conversion {
  copied,
  sparse_xyz,  ///< a kernel of spconv, axes x, y, z: [kx, ky, kz, in, out] or [out, kx, ky, kz, in] to [kx ky kz in, out]
  sparse_zyx,  ///< the same with axes z, y, x
  subtracted,  ///< from what is there: a convolution's bias in front of a normalisation that has no place for it but its mean
};

/// Which tensor of ours one of another program's is.
struct Renamed {
  std::string name;
  Conversion conversion = Conversion::copied;
};

/// Names of another program's tensors and ours.
///
/// One pair a line, `theirs ours [conversion]`; `#` starts a comment. A `*` in theirs stands for any text without a dot, and the
/// k-th `*` of ours for the k-th one's; `*+1` for the number there plus one. The first line that fits a name counts.
class NameMap {
 public:
  /// The map that renames nothing.
  NameMap() = default;
  /// @throws DataError, naming file and line, for one that cannot be read
  explicit NameMap(const std::filesystem::path& file);
  /// @param file  for error messages
  NameMap(std::istream& in, const std::string& file);

  std::optional<Renamed> find(const std::string& theirs) const;

 private:
  struct Line {
    std::string theirs;
    std::string ours;
    Conversion conversion = Conversion::copied;
  };

  void read(std::istream& in, const std::string& file);

  bool identity_ = true;
  std::vector<Line> lines_;
};

/// The tensor in our layout, for one of ours with these sizes; undefined where it cannot be.
torch::Tensor converted(const torch::Tensor& theirs, Conversion conversion, torch::IntArrayRef ours);

}  // namespace bevfusion
