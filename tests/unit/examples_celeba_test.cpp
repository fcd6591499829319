// SPDX-License-Identifier: Apache-2.0
// The examples' reader of CelebA: lists of a few made-up faces, and pictures of one colour.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <unistd.h>

#include "../../examples/support/celeba.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "support/catch.hpp"

namespace {

namespace fs = std::filesystem;
using example::CelebA;
using example::read_celeba;

/// A folder of CelebA with three faces of three attributes, gone at the end of the test.
class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("fuller_celeba_" + std::to_string(getpid()))) {
    fs::remove_all(path_);
    fs::create_directories(path_ / "img_align_celeba");
    attributes("3\nBald Smiling Young \n000001.jpg -1  1  1\n000002.jpg  1 -1 -1\n000003.jpg -1 -1  1\n");
    partition("000001.jpg 0\n000002.jpg 2\n000003.jpg 0\n");
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  void attributes(const std::string& text) { std::ofstream(path_ / "list_attr_celeba.txt") << text; }
  void partition(const std::string& text) { std::ofstream(path_ / "list_eval_partition.txt") << text; }
  void picture(const std::string& name, const std::vector<std::uint8_t>& bytes) {
    std::ofstream(path_ / "img_align_celeba" / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  const fs::path& path() const { return path_; }
  std::string refusal() const {
    try {
      read_celeba(path_.string());
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  }

 private:
  fs::path path_;
};

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("CelebA's lists give each part its faces and their attributes", "[examples]") {
  const Folder folder;
  const CelebA data = read_celeba(folder.path().string());
  CHECK(data.names == std::vector<std::string>{"Bald", "Smiling", "Young"});
  REQUIRE(data.train.size() == 2);
  CHECK(data.train[0].file == "000001.jpg");
  CHECK(data.train[0].attributes == std::vector<bool>{false, true, true});
  CHECK(data.train[1].attributes == std::vector<bool>{false, false, true});
  CHECK(data.val.empty());
  REQUIRE(data.test.size() == 1);
  CHECK(data.test[0].attributes == std::vector<bool>{true, false, false});
}

TEST_CASE("CelebA is read as its download is laid out, too, and with the line ends of Windows", "[examples]") {
  Folder folder;
  folder.attributes("3\r\nBald Smiling Young\r\n000001.jpg -1 1 1\r\n000002.jpg 1 -1 -1\r\n000003.jpg -1 -1 1\r\n");
  for (const auto& [name, place] :
       {std::pair{"list_attr_celeba.txt", "Anno"}, {"list_eval_partition.txt", "Eval"}, {"img_align_celeba", "Img"}}) {
    fs::create_directories(folder.path() / place);
    fs::rename(folder.path() / name, folder.path() / place / name);
  }
  const CelebA data = read_celeba(folder.path().string());
  CHECK(data.names.back() == "Young");
  CHECK(data.pictures == folder.path() / "Img" / "img_align_celeba");
}

TEST_CASE("a list of CelebA's attributes that is not of that form is refused with its line", "[examples]") {
  Folder folder;
  const auto refusal = [&](const std::string& text) {
    folder.attributes(text);
    return folder.refusal();
  };
  const std::string names = "Bald Smiling Young\n", first = "000001.jpg -1 1 1\n", second = "000002.jpg 1 -1 -1\n",
                    third = "000003.jpg -1 -1 1\n";
  CHECK(contains(refusal(""), "list_attr_celeba.txt, line 0: the number of pictures is expected"));
  CHECK(contains(refusal("three\n" + names + first), "line 1: the number of pictures is expected, alone"));
  CHECK(contains(refusal("3x\n" + names + first), "line 1: the number of pictures is expected, alone"));
  CHECK(contains(refusal("3\n"), "line 1: the names of the attributes are expected, and the file ends"));
  CHECK(contains(refusal("1\nBald Bald Young\n" + first), "line 2: an attribute is named twice"));
  CHECK(
      contains(refusal("4\n" + names + first + second + third), "line 5: the file ends after 3 pictures, its first line says 4"));
  CHECK(contains(refusal("2\n" + names + first + second + third), "line 5: the first line says 2 pictures, here is one more"));
  CHECK(contains(refusal("3\n" + names + first + "000002.jpg 1 -1\n" + third),
                 "line 4: a picture and 3 numbers are expected, here are 3 words"));
  CHECK(contains(refusal("3\n" + names + first + "000002.jpg 1 0 -1\n" + third),
                 "line 4: 'Smiling' of 000002.jpg is 0; it may be 1 or -1"));
  CHECK(contains(refusal("3\n" + names + first + second + first), "names 000001.jpg twice"));
}

TEST_CASE("a partition of CelebA that does not fit its list is refused with its line", "[examples]") {
  Folder folder;
  const auto refusal = [&](const std::string& text) {
    folder.partition(text);
    return folder.refusal();
  };
  CHECK(contains(refusal("000001.jpg 0\n000002.jpg 3\n"),
                 "list_eval_partition.txt, line 2: a picture and 0 (train), 1 (val) or 2 (test)"));
  CHECK(contains(refusal("000001.jpg\n"), "line 1: a picture and 0"));
  CHECK(contains(refusal("000001.jpg 0\n000009.jpg 0\n"), "line 2: 000009.jpg has no line in list_attr_celeba.txt"));
  CHECK(contains(refusal("000001.jpg 0\n000001.jpg 0\n"),
                 "line 2: 000001.jpg has no line in list_attr_celeba.txt, or a second one here"));
  CHECK(contains(refusal("000001.jpg 0\n000002.jpg 2\n"),
                 "line 2: the list ends, and 1 pictures of list_attr_celeba.txt are in no part, 000003.jpg"));
}

TEST_CASE("what is missing of CelebA is named, with where to have it from", "[examples]") {
  const Folder folder;
  fs::remove(folder.path() / "list_eval_partition.txt");
  CHECK(contains(folder.refusal(), "holds no list_eval_partition.txt, nor does its folder Eval"));
  CHECK(contains(folder.refusal(), "img_align_celeba.zip"));
}

TEST_CASE("faces are decoded; one that is missing or cut off is named", "[examples]") {
  Folder folder;
  const bevfusion::Image red(178, 218, {200, 20, 20});
  const auto jpeg = bevfusion::encode_jpeg(red, 95);
  folder.picture("000001.jpg", jpeg);
  folder.picture("000003.jpg", {jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(jpeg.size() / 2)});
  const CelebA data = read_celeba(folder.path().string());
  const auto decode = [](const fs::path& file) { return bevfusion::read_image(file); };
  const auto face = read_face(data, data.train[0], decode);
  CHECK(face.width == 178);
  CHECK(face.height == 218);
  CHECK(std::abs(int{face.pixel(89, 109)[0]} - 200) <= 3);  // JPEG rounds
  CHECK(std::abs(int{face.pixel(89, 109)[1]} - 20) <= 3);
  const auto refusal = [&](const CelebA::Face& of) -> std::string {
    try {
      read_face(data, of, decode);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  };
  CHECK(contains(refusal(data.test[0]), "000002.jpg: no such picture, and list_attr_celeba.txt names it"));
  CHECK(contains(refusal(data.train[1]), "000003.jpg: is no whole JPEG"));
}
