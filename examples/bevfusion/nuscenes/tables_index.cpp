// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/nuscenes/tables_index.hpp"

#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/nuscenes/claimed_file.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/hashed_file.hpp"
#include "bevfusion/nuscenes/parse_tables.hpp"
#include "bevfusion/nuscenes/table_stamps.hpp"
#include "bevfusion/nuscenes/tables_archive.hpp"

namespace bevfusion {

namespace {

namespace fs = std::filesystem;

// What the file begins with: which program can read it. Numbers are kept as this machine has them, so the number tells its order.
struct Preamble {
  std::array<char, 24> name = {"bevfusion tables index\n"};
  std::uint32_t version = 1;
  std::uint32_t order = 0x01020304;
};

/// An open file to read from, that is closed with it.
class Input {
 public:
  // Without waiting, in case it is a pipe.
  explicit Input(const fs::path& file) : handle_(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (handle_ >= 0 && (::fstat(handle_, &file_) != 0 || !S_ISREG(file_.st_mode))) ::close(std::exchange(handle_, -1));
  }
  ~Input() {
    if (handle_ >= 0) ::close(handle_);
  }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  bool opened() const { return handle_ >= 0; }
  std::uint64_t bytes() const { return static_cast<std::uint64_t>(file_.st_size); }
  /// Whether it is the very file, and as it was.
  bool same_as(const struct stat& other) const {
    return file_.st_ino == other.st_ino && file_.st_dev == other.st_dev && file_.st_size == other.st_size &&
           file_.st_ctim.tv_sec == other.st_ctim.tv_sec && file_.st_ctim.tv_nsec == other.st_ctim.tv_nsec;
  }
  const struct stat& file() const { return file_; }

  std::size_t read(void* to, std::size_t count) {
    std::size_t got = 0;
    while (got < count) {
      const ssize_t piece = ::read(handle_, static_cast<char*>(to) + got, count - got);
      if (piece < 0 && errno == EINTR) continue;
      if (piece <= 0) break;
      got += static_cast<std::size_t>(piece);
    }
    return got;
  }

 private:
  int handle_;
  struct stat file_ {};
};

/// A table whose checksum is told when it was read.
class ToldFile : public HashedFile {
 public:
  using Told = std::function<void(std::uint64_t checksum, std::uint64_t bytes)>;
  ToldFile(const fs::path& file, Told told) : HashedFile(file), told_(std::move(told)) {}
  ~ToldFile() override {
    if (std::uncaught_exceptions() > errors_) return;  // it was not good, and is wanted no more
    const std::uint64_t checksum = checksum_of_all();
    told_(checksum, bytes());
  }

 private:
  Told told_;
  int errors_ = std::uncaught_exceptions();
};

template <typename Archive>
void archive_stamp(Archive& archive, typename Archive::template Held<TableStamp>& stamp) {
  archive(stamp.table);
  archive(stamp.bytes);
  archive(stamp.written);
  archive(stamp.changed);
  archive(stamp.checksum);
}

std::string text_of(const TablesOptions& options) {
  std::string text = options.camera_sweeps ? "camera sweeps\n" : "key frames\n";
  text += options.lidar + "\n";
  for (const std::string& camera : options.cameras) text += camera + "\n";
  return text;
}

class IndexedTables {
 public:
  IndexedTables(fs::path root, fs::path folder, const TablesOptions& options, const TablesIndex& index, fs::path file)
      : root_(std::move(root)), folder_(std::move(folder)), options_(options), index_(index), file_(std::move(file)) {}

  Tables read() {
    if (index_.place == TablesIndex::Place::none) return parse();
    now_ = stamps_of(folder_);
    std::uint64_t bytes = 0;
    for (const TableStamp& stamp : now_) bytes += stamp.bytes;
    if (now_.empty() || bytes < index_.least) return parse();
    if (std::optional<Tables> tables = kept()) return std::move(*tables);
    if (index_.place == TablesIndex::Place::folder) {
      std::error_code shown_by_claim;
      fs::create_directories(index_.folder, shown_by_claim);
    }
    const auto until = std::chrono::steady_clock::now() + index_.patience;
    for (;;) {
      ClaimedFile claimed(file_);
      const ClaimedFile::Claim claim = claimed.claim();
      if (claim == ClaimedFile::Claim::refused) return parse_without(claimed.error());
      // Another process may have made it since we looked.
      if (std::optional<Tables> tables = kept()) return std::move(*tables);
      if (claim == ClaimedFile::Claim::made) return parse_and_keep(claimed);
      if (std::chrono::steady_clock::now() > until) {
        say("another process has been making it for long, so the tables are read here as well");
        return parse();
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

 private:
  Tables parse() const {
    return parse_tables(
        root_, folder_, [this](const std::string& table) { return open_buffered(json(table)); }, options_);
  }

  Tables parse_without(int error) const {
    say(std::string("cannot be written (") + std::strerror(error) +
        "), so each start reads the tables; FULLER_TABLES_INDEX=/another/folder keeps it there, =off keeps none");
    return parse();
  }

  Tables parse_and_keep(ClaimedFile& claimed) {
    std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> read;
    const TableOpener open = [&](const std::string& table) -> std::unique_ptr<std::istream> {
      auto stream = std::make_unique<ToldFile>(json(table), [&read, table](std::uint64_t checksum, std::uint64_t bytes) {
        read[table] = {checksum, bytes};
      });
      if (!fs::is_regular_file(json(table)) || !stream->opened()) return nullptr;
      return stream;
    };
    std::vector<TableStamp> stamps = now_;
    forget_young_times(stamps, index_.settled);
    Tables tables = parse_tables(root_, folder_, open, options_);
    bool same = true;
    for (TableStamp& stamp : stamps) {
      stamp.checksum = read[stamp.table].first;
      same = same && stamp.bytes == read[stamp.table].second;
    }
    const std::vector<TableStamp> after = stamps_of(folder_);
    same = same && after.size() == now_.size();
    for (std::size_t i = 0; same && i < now_.size(); ++i) same = after[i].same_times(now_[i]);
    if (!same) {
      say("is not made: the tables changed while they were read");
    } else if (const std::uint64_t bytes = keep(claimed, tables, stamps); bytes > 0) {
      say("made, " + std::to_string(bytes >> 20U) + " MB, so that the next start need not read the tables; it may be deleted");
    } else {
      say(std::string("cannot be written (") + std::strerror(claimed.error()) + "), so the next start reads the tables again");
    }
    return tables;
  }

  /// @return its size, or 0 where the system did not take it
  std::uint64_t keep(ClaimedFile& claimed, const Tables& tables, const std::vector<TableStamp>& stamps) const {
    bool good = true;
    std::uint64_t bytes = 0;
    const auto put = [&](const void* at, std::size_t count) {
      good = good && claimed.write(at, count);
      bytes += count;
    };
    const Preamble preamble;
    put(&preamble, sizeof preamble);
    BlockWriter blocks(put);
    Packer pack(blocks);
    pack(text_of(options_));
    pack.count(stamps.size());
    for (const TableStamp& stamp : stamps) archive_stamp(pack, stamp);
    archive_tables(pack, tables);
    blocks.finish();
    return good && claimed.put_in_place() ? bytes : 0;
  }

  /// What the file holds, where there is one of these tables as they are now.
  std::optional<Tables> kept() {
    Input input(file_);
    if (!input.opened() || (tried_ && input.same_as(*tried_))) return std::nullopt;
    tried_ = input.file();
    try {
      Preamble preamble;
      const Preamble own;
      if (input.read(&preamble, sizeof preamble) != sizeof preamble) throw BlockError("it is cut short");
      if (preamble.name != own.name) throw BlockError("it is another kind of file");
      if (preamble.order != own.order) throw BlockError("it was made on another kind of machine");
      if (preamble.version != own.version) throw BlockError("it was made by another version of the program");
      BlockReader blocks([&](void* to, std::size_t count) { return input.read(to, count); });
      Unpacker unpack(blocks, input.bytes());
      std::string options;
      unpack(options);
      if (options != text_of(options_)) throw BlockError("it is of other options");
      std::vector<TableStamp> known(unpack.count(0));
      for (TableStamp& stamp : known) archive_stamp(unpack, stamp);
      bool read = false;
      if (!same_tables(folder_, known, now_, read)) throw BlockError("the tables have changed since it was made");
      Tables tables;
      tables.root = root_;
      tables.folder = folder_;
      unpack_tables(unpack, tables);
      blocks.expect_end();
      if (read) take_times(tables);
      return tables;
    } catch (const BlockError& error) {
      say(std::string("is not taken: ") + error.what());
    } catch (const std::bad_alloc&) {
      say("is not taken: it has more than fits in memory");
    }
    return std::nullopt;
  }

  /// The tables are those of the file, but for their times: it is made anew with these, so that the next start need not read
  /// them.
  void take_times(const Tables& tables) {
    std::vector<TableStamp> stamps = now_;
    forget_young_times(stamps, index_.settled);
    ClaimedFile claimed(file_);
    if (claimed.claim() == ClaimedFile::Claim::made) keep(claimed, tables, stamps);
  }

  void say(const std::string& what) const {
    const std::string text = file_.string() + ": " + what;
    if (index_.say) return index_.say(text);
    std::fprintf(stderr, "%s\n", text.c_str());
  }

  fs::path json(const std::string& table) const { return folder_ / (table + ".json"); }

  fs::path root_;
  fs::path folder_;
  const TablesOptions& options_;
  const TablesIndex& index_;
  fs::path file_;
  std::vector<TableStamp> now_;
  std::optional<struct stat> tried_;  // the file that was not good
};

}  // namespace

TablesIndex tables_index_named(const char* value) {
  const std::string text = value == nullptr ? "" : value;
  TablesIndex index;
  if (text.empty() || text == "beside") return index;
  if (text == "off") {
    index.place = TablesIndex::Place::none;
    return index;
  }
  index.place = TablesIndex::Place::folder;
  index.folder = text;
  if (index.folder.is_relative()) {
    throw std::invalid_argument("FULLER_TABLES_INDEX is '" + text +
                                "', and should be off, beside or the absolute path of a folder");
  }
  return index;
}

fs::path tables_index_file(const fs::path& root, const std::string& version, const TablesOptions& options,
                           const TablesIndex& index) {
  const fs::path folder = root / version;
  const bool beside = index.place != TablesIndex::Place::folder;
  std::string told = text_of(options);
  if (!beside) told += fs::weakly_canonical(folder).string();
  Checksum sum;
  sum.add(told.data(), told.size());
  std::array<char, 17> digits{};
  std::snprintf(digits.data(), digits.size(), "%016" PRIx64, sum.value());
  return (beside ? folder : index.folder) / ("tables-" + std::string(digits.data()) + ".index");
}

Tables read_tables(const fs::path& root, const std::string& version, const TablesOptions& options, const TablesIndex& index) {
  const fs::path folder = root / version;
  if (!fs::is_directory(folder)) fail(folder.string(), "is no folder of tables");
  return IndexedTables(root, folder, options, index, tables_index_file(root, version, options, index)).read();
}

Tables read_tables(const fs::path& root, const std::string& version, const TablesOptions& options) {
  return read_tables(root, version, options, tables_index_named(std::getenv("FULLER_TABLES_INDEX")));
}

}  // namespace bevfusion
