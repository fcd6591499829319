// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace example {

/// What CelebA says of its pictures; the pictures themselves stay on disk.
struct CelebA {
  struct Face {
    std::string file;              ///< as in the lists, such as 000001.jpg
    std::vector<bool> attributes;  ///< one for each name
  };
  std::vector<std::string> names;  ///< of the attributes, such as 5_o_Clock_Shadow
  std::vector<Face> train, val, test;
  std::filesystem::path pictures;  ///< the folder img_align_celeba
};

namespace detail {

template <class... Parts>
[[noreturn]] void refuse_celeba(const std::filesystem::path& file, std::size_t line, const Parts&... parts) {
  std::ostringstream text;
  text << file.string() << ", line " << line << ": ";
  (text << ... << parts);
  throw std::runtime_error(text.str());
}

/// The lines of a text, without what Windows puts at their ends.
class CelebALines {
 public:
  explicit CelebALines(std::filesystem::path file) : file_(std::move(file)), in_(file_) {
    if (!in_) {
      throw std::runtime_error(file_.string() + ": cannot be opened (" + std::strerror(errno) + ")");
    }
  }
  /// @return the words of the next line that has any, none at the end
  std::vector<std::string> next() {
    std::vector<std::string> words;
    for (std::string text; words.empty() && std::getline(in_, text);) {
      ++line_;
      std::istringstream parts(text);
      for (std::string word; parts >> word;) {
        words.push_back(word);
      }
    }
    if (in_.bad()) {
      refuse("cannot be read");
    }
    return words;
  }
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    refuse_celeba(file_, line_, parts...);
  }

 private:
  std::filesystem::path file_;
  std::ifstream in_;
  std::size_t line_ = 0;
};

/// A file or folder of CelebA: in the folder itself, or in the one of the three that the official download puts it into.
inline std::filesystem::path find_celeba(const std::string& folder, const char* part, const char* name) {
  for (const auto& place : {std::filesystem::path(folder), std::filesystem::path(folder) / part}) {
    std::error_code unknown;
    if (std::filesystem::exists(place / name, unknown)) {
      return place / name;
    }
  }
  throw std::runtime_error(
      folder + ": holds no " + name + ", nor does its folder " + part +
      ". CelebA's aligned pictures come as img_align_celeba.zip, to be unpacked there, beside list_attr_celeba.txt and "
      "list_eval_partition.txt");
}

/// The number in the first line, the names in the second, then for each picture its file and 1 or -1 for each name.
inline std::vector<CelebA::Face> read_attributes(const std::filesystem::path& file, std::vector<std::string>& names) {
  CelebALines lines(file);
  const auto head = lines.next();
  std::size_t count = 0;
  const char* end = head.size() == 1 ? head[0].data() + head[0].size() : nullptr;
  if (head.size() != 1 || std::from_chars(head[0].data(), end, count).ptr != end || count == 0) {
    lines.refuse("the number of pictures is expected, alone");
  }
  names = lines.next();
  if (names.empty()) {
    lines.refuse("the names of the attributes are expected, and the file ends");
  }
  if (std::set<std::string>(names.begin(), names.end()).size() != names.size()) {
    lines.refuse("an attribute is named twice");
  }
  std::vector<CelebA::Face> faces;
  for (auto words = lines.next(); !words.empty(); words = lines.next()) {
    if (words.size() != names.size() + 1) {
      lines.refuse("a picture and ", names.size(), " numbers are expected, here are ", words.size(), " words");
    }
    if (faces.size() == count) {
      lines.refuse("the first line says ", count, " pictures, here is one more");
    }
    CelebA::Face face{words[0], {}};
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (words[i + 1] != "1" && words[i + 1] != "-1") {
        lines.refuse("'", names[i], "' of ", face.file, " is ", words[i + 1], "; it may be 1 or -1");
      }
      face.attributes.push_back(words[i + 1] == "1");
    }
    faces.push_back(std::move(face));
  }
  if (faces.size() != count) {
    lines.refuse("the file ends after ", faces.size(), " pictures, its first line says ", count);
  }
  return faces;
}

}  // namespace detail

/// Reads list_attr_celeba.txt and list_eval_partition.txt, and finds img_align_celeba, in a folder that holds them, or in its
/// folders Anno, Eval and Img. Whether each picture is there shows when it is read.
/// @throws std::runtime_error naming the file, the line, and what is expected there
inline CelebA read_celeba(const std::string& folder) {
  CelebA data;
  auto faces = detail::read_attributes(detail::find_celeba(folder, "Anno", "list_attr_celeba.txt"), data.names);
  std::unordered_map<std::string, std::size_t> places;
  for (std::size_t i = 0; i < faces.size(); ++i) {
    if (!places.emplace(faces[i].file, i).second) {
      throw std::runtime_error(folder + ": list_attr_celeba.txt names " + faces[i].file + " twice");
    }
  }
  detail::CelebALines lines(detail::find_celeba(folder, "Eval", "list_eval_partition.txt"));
  for (auto words = lines.next(); !words.empty(); words = lines.next()) {
    if (words.size() != 2 || (words[1] != "0" && words[1] != "1" && words[1] != "2")) {
      lines.refuse("a picture and 0 (train), 1 (val) or 2 (test) are expected");
    }
    const auto place = places.find(words[0]);
    if (place == places.end()) {
      lines.refuse(words[0], " has no line in list_attr_celeba.txt, or a second one here");
    }
    auto& part = words[1] == "0" ? data.train : words[1] == "1" ? data.val : data.test;
    part.push_back(std::move(faces[place->second]));
    places.erase(place);
  }
  if (!places.empty()) {
    lines.refuse("the list ends, and ", places.size(), " pictures of list_attr_celeba.txt are in no part, ",
                 places.begin()->first, " is one");
  }
  data.pictures = detail::find_celeba(folder, "Img", "img_align_celeba");
  return data;
}

/// Reads a picture of `data` by a decoder that takes a path and throws what it meets.
/// @throws std::runtime_error where the file is missing
template <class Decode>
auto read_face(const CelebA& data, const CelebA::Face& face, const Decode& decode) {
  const auto path = data.pictures / face.file;
  std::error_code unknown;
  if (!std::filesystem::is_regular_file(path, unknown)) {
    throw std::runtime_error(path.string() +
                             ": no such picture, and list_attr_celeba.txt names it; unpack img_align_celeba.zip anew");
  }
  return decode(path);
}

}  // namespace example
