// SPDX-License-Identifier: Apache-2.0
// The examples' reader of IDX files, on files made byte by byte here.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <unistd.h>
#include <zlib.h>

#include "../../examples/support/idx.hpp"
#include "support/catch.hpp"

namespace {

using example::read_idx;
using Bytes = std::vector<std::uint8_t>;

/// A file that is gone at the end of the test.
class File {
 public:
  explicit File(const Bytes& bytes, bool compressed = false)
      : path_((std::filesystem::temp_directory_path() / ("fuller_idx_" + std::to_string(getpid()))).string()) {
    if (compressed) {
      gzFile out = gzopen(path_.c_str(), "wb");
      gzwrite(out, bytes.data(), static_cast<unsigned>(bytes.size()));
      gzclose(out);
    } else {
      std::ofstream(path_, std::ios::binary)
          .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
  }
  ~File() { std::filesystem::remove(path_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Two pictures of 2 x 3: the format written down by hand.
const Bytes two_pictures = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 10, 11, 12, 13, 14, 15, 250, 251, 252, 253, 254, 255};

std::string refusal(const Bytes& bytes, bool compressed = false) {
  const File file(bytes, compressed);
  try {
    read_idx(file.path());
  } catch (const std::runtime_error& error) {
    const std::string text = error.what();
    CHECK(text.find(file.path()) == 0);
    return text.substr(file.path().size());
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("an IDX file gives its shape and values, plain or compressed", "[examples]") {
  for (const bool compressed : {false, true}) {
    const auto idx = read_idx(File(two_pictures, compressed).path());
    CHECK(idx.shape == std::vector<std::size_t>{2, 2, 3});
    CHECK(idx.values == Bytes(two_pictures.begin() + 16, two_pictures.end()));
  }
}

TEST_CASE("dimensions are big-endian", "[examples]") {
  Bytes bytes(8 + 258, 7);
  const Bytes header = {0, 0, 8, 1, 0, 0, 1, 2};  // 0x0102 = 258
  std::copy(header.begin(), header.end(), bytes.begin());
  CHECK(read_idx(File(bytes).path()).shape == std::vector<std::size_t>{258});
}

TEST_CASE("an IDX file cut off anywhere is refused, naming the field that ends early", "[examples]") {
  for (std::size_t length = 0; length < two_pictures.size(); ++length) {
    const auto text = refusal(Bytes(two_pictures.begin(), two_pictures.begin() + static_cast<std::ptrdiff_t>(length)));
    INFO(length << " bytes: " << text);
    CHECK(contains(text, length < 4 ? "'magic number'" : length < 16 ? "'dimensions'" : "'elements'"));
    CHECK(contains(text, "ends after"));
  }
}

TEST_CASE("a damaged or shortened gzip stream is refused", "[examples]") {
  Bytes random(5000);
  std::uint32_t state = 1;
  for (auto& value : random) {
    state = state * 1664525 + 1013904223;
    value = static_cast<std::uint8_t>(state >> 24);
  }
  Bytes idx = {0, 0, 8, 1, 0, 0, 0x13, 0x88};
  idx.insert(idx.end(), random.begin(), random.end());
  Bytes packed;
  {
    const File file(idx, true);
    std::ifstream in(file.path(), std::ios::binary);
    packed.assign(std::istreambuf_iterator<char>(in), {});
  }
  CHECK(refusal(packed).empty());
  CHECK(contains(refusal(Bytes(packed.begin(), packed.end() - 2500)), "'elements'"));
  Bytes flipped = packed;
  flipped[packed.size() - 6] ^= 0xff;  // the checksum that a gzip stream ends with
  CHECK_FALSE(refusal(flipped).empty());
}

TEST_CASE("what is not an IDX file of bytes is refused by its header", "[examples]") {
  CHECK(contains(refusal({'P', 'K', 3, 4, 0, 0, 0, 0}), "'magic number'"));
  CHECK(contains(refusal({0, 0, 0x0d, 1, 0, 0, 0, 1, 0, 0, 0, 0}), "'element type'"));  // floats
  CHECK(contains(refusal({0, 0, 8, 0}), "'number of dimensions'"));
  CHECK(contains(refusal({0, 0, 8, 200}), "'number of dimensions'"));
  CHECK(contains(refusal({0, 0, 8, 1, 0, 0, 0, 0}), "'dimensions'"));
}

TEST_CASE("a header that promises the moon costs neither memory nor an overflow", "[examples]") {
  const auto huge = refusal({0, 0, 8, 4, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255});
  CHECK(contains(huge, "'dimensions'"));
  // 65536^4 = 2^64 wraps to 0 in 64 bits.
  CHECK(contains(refusal({0, 0, 8, 4, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0}), "'dimensions'"));
  // 2^30 elements are allowed, but only those in the file are ever held.
  CHECK(contains(refusal({0, 0, 8, 1, 0x40, 0, 0, 0, 1, 2, 3}), "ends after 3 of 1073741824 bytes"));
}

TEST_CASE("bytes after the last element are refused", "[examples]") {
  Bytes longer = two_pictures;
  longer.push_back(1);
  CHECK(contains(refusal(longer), "more bytes follow than the 12"));
}

TEST_CASE("a missing IDX file is named", "[examples]") {
  CHECK_THROWS_WITH(read_idx("/no/such/file.gz"), "/no/such/file.gz: cannot be opened");
}
