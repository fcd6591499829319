// SPDX-License-Identifier: Apache-2.0
// The examples' reader of CIFAR-100's binary version, on files made byte by byte here.
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <unistd.h>

#include "../../examples/support/cifar100.hpp"
#include "support/catch.hpp"

namespace {

using example::Cifar100;
using example::read_cifar100;
using Bytes = std::vector<std::uint8_t>;

/// A file that is gone at the end of the test.
class File {
 public:
  explicit File(const Bytes& bytes)
      : path_((std::filesystem::temp_directory_path() / ("fuller_cifar_" + std::to_string(getpid()))).string()) {
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  ~File() { std::filesystem::remove(path_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// A picture whose planes are `red`, `red` + 1 and `red` + 2 throughout.
void append(Bytes& bytes, int coarse, int fine, std::uint8_t red) {
  bytes.push_back(static_cast<std::uint8_t>(coarse));
  bytes.push_back(static_cast<std::uint8_t>(fine));
  for (std::uint8_t plane = 0; plane < 3; ++plane) {
    bytes.insert(bytes.end(), 1024, static_cast<std::uint8_t>(red + plane));
  }
}

/// An apple (fruit and vegetables), a dolphin (aquatic mammals) and a worm (invertebrates).
Bytes three_pictures() {
  Bytes bytes;
  append(bytes, 4, 0, 10);
  append(bytes, 0, 30, 20);
  append(bytes, 13, 99, 30);
  return bytes;
}

std::string refusal(const Bytes& bytes) {
  const File file(bytes);
  try {
    read_cifar100(file.path());
  } catch (const std::runtime_error& error) {
    const std::string text = error.what();
    CHECK(text.find(file.path() + ": ") == 0);
    return text.substr(file.path().size() + 2);
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a file of CIFAR-100 gives its labels and planes", "[examples]") {
  const auto data = read_cifar100(File(three_pictures()).path());
  REQUIRE(data.size() == 3);
  CHECK(data.coarse == std::vector<int>{4, 0, 13});
  CHECK(data.fine == std::vector<int>{0, 30, 99});
  REQUIRE(data.pixels.size() == 3 * Cifar100::picture_bytes);
  CHECK(int{data.pixels[0]} == 10);                                // red of the apple
  CHECK(int{data.pixels[1024]} == 11);                             // green
  CHECK(int{data.pixels[Cifar100::picture_bytes + 2048]} == 22);   // blue of the dolphin
  CHECK(int{data.pixels[3 * Cifar100::picture_bytes - 1]} == 32);  // the last byte of all
}

TEST_CASE("each superclass of CIFAR-100 has five classes, at five places", "[examples]") {
  std::array<std::array<int, 5>, 20> seen{};
  for (int fine = 0; fine < 100; ++fine) {
    const int place = example::cifar100_place_of(fine);
    REQUIRE(place >= 0);
    REQUIRE(place < 5);
    ++seen[static_cast<std::size_t>(example::cifar100_superclass_of[static_cast<std::size_t>(fine)])]
          [static_cast<std::size_t>(place)];
  }
  for (const auto& of_superclass : seen) {
    CHECK(of_superclass == std::array<int, 5>{1, 1, 1, 1, 1});
  }
  // Beaver, dolphin, otter, seal, whale: classes 4, 30, 55, 72 and 95 of the alphabet.
  for (const auto& [fine, place] : {std::pair{4, 0}, {30, 1}, {55, 2}, {72, 3}, {95, 4}}) {
    CHECK(example::cifar100_superclass_of[static_cast<std::size_t>(fine)] == 0);
    CHECK(example::cifar100_place_of(fine) == place);
  }
}

TEST_CASE("a file of CIFAR-100 cut off is refused, naming the picture and the byte where it begins", "[examples]") {
  const Bytes whole = three_pictures();
  for (const std::size_t length : {std::size_t{1}, std::size_t{3073}, std::size_t{3075}, whole.size() - 1}) {
    const auto text = refusal(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
    INFO(text);
    const std::size_t picture = length / 3074;
    CHECK(contains(text, "byte " + std::to_string(3074 * picture) + ": picture " + std::to_string(picture) + " has " +
                             std::to_string(length % 3074) + " of 3074 bytes"));
    CHECK(contains(text, "cifar-100-binary.tar.gz"));
  }
  CHECK(contains(refusal({}), "byte 0: the file is empty"));
}

TEST_CASE("labels of CIFAR-100 out of range, or that do not belong together, are refused with their place", "[examples]") {
  const auto with = [](std::size_t at, std::uint8_t value) {
    Bytes bytes = three_pictures();
    bytes[at] = value;
    return refusal(bytes);
  };
  CHECK(contains(with(3074, 20), "byte 3074: superclasses are 0 to 19, that of picture 1 is 20"));
  CHECK(contains(with(3075, 100), "byte 3075: classes are 0 to 99, that of picture 1 is 100"));
  CHECK(contains(with(2 * 3074, 12), "byte 6148: class 99 belongs to superclass 13, picture 2 says 12"));
}

TEST_CASE("CIFAR-100 is found in a folder, or as its archive unpacks", "[examples]") {
  const auto folder = std::filesystem::temp_directory_path() / ("fuller_cifar_folder_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder / "cifar-100-binary");
  CHECK(example::find_cifar100(folder.string(), "train.bin").empty());
  std::ofstream(folder / "cifar-100-binary" / "train.bin") << "x";
  CHECK(example::find_cifar100(folder.string(), "train.bin") == (folder / "cifar-100-binary" / "train.bin").string());
  std::ofstream(folder / "train.bin") << "x";
  CHECK(example::find_cifar100(folder.string(), "train.bin") == (folder / "train.bin").string());
  std::filesystem::remove_all(folder);
  CHECK_THROWS_WITH(read_cifar100("/no/such/train.bin"), "/no/such/train.bin: cannot be opened (No such file or directory)");
}
