// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tests/fuzz/weights_targets.hpp"

#include <algorithm>
#include <memory>
#include <sstream>
#include <utility>

#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/weights/name_map.hpp"
#include "bevfusion/weights/state_file.hpp"

namespace bevfusion::fuzz {

namespace {

void read_all(const std::string& bytes) {
  try {
    StateFile file(std::make_unique<std::istringstream>(bytes), "fuzz.pth");
    for (const std::string& name : file.names()) {
      try {
        const torch::Tensor tensor = file.tensor(name);
        if (tensor.dim() == 5 && tensor.size(4) > 0) {
          for (const Conversion axes : {Conversion::sparse_xyz, Conversion::sparse_zyx}) {
            converted(tensor, axes, {tensor.numel() / tensor.size(4), tensor.size(4)});
          }
        }
      } catch (const DataError&) {
      }
    }
  } catch (const DataError&) {
  }
}

/// Little-endian numbers of 2 or 4 bytes, as PKWARE's APPNOTE has them.
class Record {
 public:
  explicit Record(const char* signature) : bytes_(signature, 4) {}
  Record& two(std::size_t number) { return put(number, 2); }
  Record& four(std::size_t number) { return put(number, 4); }
  const std::string& bytes() const { return bytes_; }

 private:
  Record& put(std::size_t number, int count) {
    for (int k = 0; k < count; ++k) {
      bytes_ += static_cast<char>(number >> (8 * k) & 0xFF);
    }
    return *this;
  }

  std::string bytes_;
};

}  // namespace

void state_file(const std::uint8_t* bytes, std::size_t count) { read_all({bytes, bytes + count}); }

void state_pickle(const std::uint8_t* bytes, std::size_t count) { read_all(zip_around({bytes, bytes + count}, 96)); }

void name_map(const std::uint8_t* bytes, std::size_t count) {
  const std::uint8_t* const stop = std::find(bytes, bytes + count, std::uint8_t{1});
  std::istringstream text(std::string(bytes, stop));
  const std::string name(stop == bytes + count ? stop : stop + 1, bytes + count);
  try {
    NameMap(text, "fuzz.names").find(name);
  } catch (const DataError&) {
  }
}

std::string zip_around(const std::string& pickle, std::size_t storage) {
  std::string file;
  std::string directory;
  std::size_t entries = 0;
  const auto add = [&](const std::string& name, const std::string& content) {
    directory += Record("PK\x01\x02")
                     .two(20)
                     .two(20)
                     .two(0)
                     .two(0)
                     .four(0)
                     .four(0)
                     .four(content.size())
                     .four(content.size())
                     .two(name.size())
                     .two(0)
                     .two(0)
                     .two(0)
                     .two(0)
                     .four(0)
                     .four(file.size())
                     .bytes() +
                 name;
    file += Record("PK\x03\x04")
                .two(20)
                .two(0)
                .two(0)
                .four(0)
                .four(0)
                .four(content.size())
                .four(content.size())
                .two(name.size())
                .two(0)
                .bytes() +
            name + content;
    ++entries;
  };
  add("archive/data.pkl", pickle);
  for (int k = 0; k < 16; ++k) {
    add("archive/data/" + std::to_string(k), std::string(storage, '\0'));
  }
  return file + directory +
         Record("PK\x05\x06").two(0).two(0).two(entries).two(entries).four(directory.size()).four(file.size()).two(0).bytes();
}

}  // namespace bevfusion::fuzz
