// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <istream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <torch/types.h>

#include "bevfusion/weights/pickle.hpp"
#include "bevfusion/weights/zip_file.hpp"

namespace bevfusion {

/// The tensors of a file that Python's torch.save wrote, or a checkpoint of this program, by name.
///
/// Whatever dicts of the file lead to a tensor, their keys are its name, parted by dots: `model.patch_embed.proj.weight` in a
/// file with a state dict under "model". Nothing of the file is executed; objects that are no tensors are passed over. Tensors
/// are read when they are asked for.
class StateFile {
 public:
  /// @throws DataError, naming file and entry, for one that cannot be read, is cut short or contradicts itself
  explicit StateFile(const std::filesystem::path& path);
  /// @param file  can be sought in
  /// @param name  for error messages
  StateFile(std::unique_ptr<std::istream> file, std::string name);

  std::vector<std::string> names() const;
  const std::vector<std::int64_t>& sizes(const std::string& name) const;
  /// The tensor in the file's element type, on the CPU.
  /// @throws DataError for a storage that is shorter than the tensor; std::out_of_range for a name that is not there
  torch::Tensor tensor(const std::string& name);

 private:
  struct Stored {
    std::string entry;
    torch::ScalarType type = torch::kFloat;
    std::int64_t offset = 0;  ///< in elements of the storage
    std::vector<std::int64_t> sizes;
    std::vector<std::int64_t> strides;
  };

  void read_names();
  void collect(const Pickle& pickle, std::size_t index, const std::string& name, int depth);
  bool collect_tensor(const Pickle& pickle, const PickleValue::Object& object, const std::string& name);
  void name_checkpoint();

  ZipFile zip_;
  std::map<std::string, Stored> tensors_;
  std::size_t looked_at_ = 0;  ///< values of the pickle, each as often as it is reached
};

}  // namespace bevfusion
