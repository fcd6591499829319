// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/nuscenes/bytes.hpp"

#include <fstream>

#include "bevfusion/nuscenes/data_error.hpp"
#include "support/output_file.hpp"

namespace bevfusion {

std::vector<std::uint8_t> read_bytes(const std::filesystem::path& file, std::uintmax_t most) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) fail(file.string(), "is missing, or no ordinary file");
  const std::uintmax_t size = std::filesystem::file_size(file, error);
  if (error) fail(file.string(), "cannot be read: " + error.message());
  if (size > most) fail(file.string(), "is larger than " + std::to_string(most) + " bytes");
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(size));
  std::ifstream stream(file, std::ios::binary);
  stream.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!stream || static_cast<std::uintmax_t>(stream.gcount()) != size) fail(file.string(), "cannot be read");
  return bytes;
}

namespace {

// A file and the buffer it must outlive.
class BufferedFile : public std::istream {
 public:
  explicit BufferedFile(const std::filesystem::path& file) : std::istream(nullptr), buffer_(1U << 20U) {
    stream_.pubsetbuf(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
    opened_ = stream_.open(file, std::ios::in | std::ios::binary) != nullptr;
    rdbuf(&stream_);
  }
  bool opened() const { return opened_; }

 private:
  std::vector<char> buffer_;
  std::filebuf stream_;
  bool opened_ = false;
};

}  // namespace

std::unique_ptr<std::istream> open_buffered(const std::filesystem::path& file) {
  auto stream = std::make_unique<BufferedFile>(file);
  if (!std::filesystem::is_regular_file(file) || !stream->opened()) return nullptr;
  return stream;
}

void write_bytes(const std::filesystem::path& file, const void* bytes, std::size_t count) {
  try {
    example::OutputFile out(file);
    out.write({static_cast<const char*>(bytes), count});
    out.close();
  } catch (const std::runtime_error& error) {
    throw DataError(error.what());
  }
}

}  // namespace bevfusion
