// SPDX-License-Identifier: Apache-2.0
// The program on a bad day: full disks, no threads, two of it at once, other data, damaged files, wrong words.
#include <cctype>
#include <random>

#include <sys/mount.h>
#include <sys/stat.h>
#include <nlohmann/json.hpp>

#include "bevfusion/tests/support/program_run.hpp"
#include "support/catch.hpp"
#include "support/folder_lock.hpp"

namespace {

using namespace bevfusion::testing;
namespace fs = std::filesystem;
using Words = std::vector<std::string>;

Words command(const std::string& name, Words words) {
  words.insert(words.begin(), {BEVFUSION_PROGRAM, name});
  return words;
}

/// Nothing where all parts are in the text, else the text, for a failed check to show.
std::string lacking(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    if (text.find(part) == std::string::npos) {
      return "'" + part + "' is not in: " + text;
    }
  }
  return "";
}

/// An error in words: status 1, one line, no calls of functions, no end by a signal.
std::string complaint(const Ended& ended, const std::vector<std::string>& parts) {
  if (ended.code != 1 || ended.err.find("frame #") != std::string::npos || ended.err.find("terminate") != std::string::npos) {
    return "status " + std::to_string(ended.code) + ": " + ended.err;
  }
  return lacking(ended.err, parts);
}

void synthesise(const fs::path& out, const std::string& seed, const Words& more = {}) {
  Words words = {"--tiny", "--scenes", "2", "--samples", "2", "--sweeps", "1", "--validation-share", "0.5", "--seed", seed};
  words.insert(words.end(), more.begin(), more.end());
  words.insert(words.end(), {"--out", out.string()});
  const Ended ended = run_program(command("synth", words));
  INFO(ended.err);
  REQUIRE(ended.code == 0);
}

/// Two training and two validation samples, and a run on them that stopped after its second step of four: checkpoints at each.
struct StoppedRun {
  StoppedRun() {
    synthesise(folder.path() / "town", "1");
    synthesise(folder.path() / "other", "2");
    Words words = training();
    words.insert(words.end(), {"--steps", "2"});
    const Ended ended = run_program(command("train", words), {folder.path()});
    INFO(ended.err);
    REQUIRE(ended.code == 0);
    fs::permissions(folder.path(), fs::perms::all);
  }
  static const StoppedRun& get() {
    static const StoppedRun run;
    return run;
  }
  static Words training() {
    return {"--size",
            "tiny",
            "--data",
            "town",
            "--loading.sweeps",
            "1",
            "--epochs",
            "2",
            "--batch",
            "1",
            "--data.threads",
            "1",
            "--training.checkpoint_every",
            "1",
            "--out",
            "run",
            "--rule",
            "none",
            "--gate",
            "none"};
  }
  /// A copy of the run's folder, to be spoilt.
  fs::path copy(const std::string& name) const {
    fs::copy(folder.path() / "run", folder.path() / name, fs::copy_options::recursive);
    return folder.path() / name;
  }

  TemporaryFolder folder;
};

Ended resume(const fs::path& run, const Words& more = {}, const Circumstances& how = {}) {
  Words words = {"--resume", "--out", run.string()};
  words.insert(words.end(), more.begin(), more.end());
  return run_program(command("train", words), how);
}

Ended evaluate(const fs::path& run, const Words& more = {}, const Circumstances& how = {}) {
  Words words = {"--run", run.string()};
  words.insert(words.end(), more.begin(), more.end());
  return run_program(command("eval", words), how);
}

TEST_CASE("a checkpoint that the disk does not take leaves the old one, says why, and the run goes on later",
          "[bevfusion][program]") {
  const fs::path run = StoppedRun::get().copy("full");
  const std::string before = content_of(run / "checkpoint.pt");
  REQUIRE(before.size() > 1'000'000);
  const Ended ended = resume(run, {}, {{}, "", [] { limit(RLIMIT_FSIZE, 500'000); }});
  CHECK(complaint(ended, {"bevfusion: ", "checkpoint.pt", "File too large", "--resume"}) == "");
  CHECK(content_of(run / "checkpoint.pt") == before);
  for (const auto& entry : fs::directory_iterator(run)) {
    CHECK(entry.path().string().find(".partial") == std::string::npos);
  }
  const Ended later = resume(run);
  INFO(later.err);
  CHECK(later.code == 0);
}

TEST_CASE("a full disk ends training and synthesis in words", "[bevfusion][program]") {
  const TemporaryFolder folder;
  if (getuid() != 0 || mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=1500k") != 0) {
    WARN("skipped: only root can mount a small tmpfs");
    return;
  }
  Words words = StoppedRun::training();
  for (std::string& word : words) {
    word = word == "run" ? (folder.path() / "run").string() : word;
  }
  const Ended trained = run_program(command("train", words), {StoppedRun::get().folder.path()});
  const bool left = fs::exists(folder.path() / "run" / "checkpoint.pt");
  fs::remove_all(folder.path() / "run");
  const Ended written =
      run_program(command("synth", {"--tiny", "--scenes", "9", "--samples", "9", "--out", (folder.path() / "town").string()}));
  const bool holds_tables = fs::exists(folder.path() / "town" / "v1.0-synth");
  umount(folder.path().c_str());
  CHECK(complaint(trained, {"No space left on device", (folder.path() / "run").string()}) == "");
  CHECK_FALSE(left);
  CHECK(complaint(written, {"No space left on device", (folder.path() / "town").string()}) == "");
  CHECK_FALSE(holds_tables);
}

TEST_CASE("results that cannot be written are a failure of every command", "[bevfusion][program]") {
  const fs::path& folder = StoppedRun::get().folder.path();
  const fs::path run = folder / "run";
  CHECK(complaint(evaluate(run, {"--out", "/dev/full"}), {"/dev/full: cannot be written (No space left on device)"}) == "");
  CHECK(complaint(evaluate(run, {"--out", "/no/such/folder/x.json"}), {"/no/such/folder/x.json"}) == "");
  const auto tight = [](rlim_t most) { return Circumstances{{}, "", [most] { limit(RLIMIT_FSIZE, most); }}; };
  const Words predict = command("predict", {"--run", run.string(), "--out", (folder / "found").string(), "--pictures", "1"});
  CHECK(complaint(run_program(predict, tight(600)), {(folder / "found").string(), "File too large"}) == "");
  CHECK_FALSE(fs::exists(folder / "found" / "submission.json"));
  const Words report = command("report", {run.string(), "--out", (folder / "report").string()});
  CHECK(complaint(run_program(report, tight(600)), {(folder / "report").string(), "File too large"}) == "");
  CHECK_FALSE(fs::exists(folder / "report" / "index.html"));
  const Words synth = command("synth", {"--tiny", "--scenes", "1", "--samples", "1", "--out", (folder / "small").string()});
  CHECK(complaint(run_program(synth, tight(600)), {(folder / "small").string(), "File too large"}) == "");
}

TEST_CASE("standard output that is full or closed is a failure, and no file is written into", "[bevfusion][program]") {
  const fs::path run = StoppedRun::get().copy("streams");
  for (const Words& words : {command("train", {"--print-config"}), Words{BEVFUSION_PROGRAM, "--help"},
                             command("report", {run.string(), "--out", (run / "report").string()})}) {
    CHECK(complaint(run_program(words, {{}, "/dev/full", {}}), {"standard output cannot be written (No space left"}) == "");
    CHECK(complaint(run_program(words, {{}, "closed", {}}), {"standard output cannot be written"}) == "");
  }
  // The log would get standard output's number, and what is printed with it.
  CHECK(complaint(resume(run, {}, {{}, "closed", {}}), {"standard output"}) == "");
  std::ifstream log(run / "log.jsonl");
  for (std::string line; std::getline(log, line);) {
    CHECK(nlohmann::json::accept(line));
  }
  CHECK(evaluate(run).code == 0);
}

TEST_CASE("without threads the program does its work with those it has, or says so", "[bevfusion][program]") {
  const fs::path& folder = StoppedRun::get().folder.path();
  const std::string program = (folder / "bevfusion").string();  // where nobody may run it
  fs::copy_file(BEVFUSION_PROGRAM, program);
  const auto alone = [&](const Words& words, const char* threads) {
    return run_program(words, {folder, "", [threads] {
                                 setenv("OMP_NUM_THREADS", threads, 1);
                                 setenv("OPENBLAS_NUM_THREADS", "1", 1);
                                 forbid_threads();
                               }});
  };
  const Ended written = alone({program, "synth", "--tiny", "--scenes", "2", "--samples", "2", "--threads", "4", "--sweeps", "1",
                               "--seed", "1", "--validation-share", "0.5", "--out", "alone"},
                              "1");
  INFO(written.err);
  CHECK(written.code == 0);
  CHECK(content_of(folder / "alone/v1.0-synth/sample_annotation.json") ==
        content_of(folder / "town/v1.0-synth/sample_annotation.json"));
  const Words evaluation = {program, "eval", "--run", "run", "--threads", "4", "--out", "alone.json"};
  const Ended evaluated = alone(evaluation, "1");
  INFO(evaluated.err);
  CHECK(evaluated.code == 0);
  const Ended other = alone(evaluation, "2");
  INFO(other.err);
  // OpenMP has no way to use fewer, and ends the program in words.
  CHECK((other.code == 0 || complaint(other, {"Resource temporarily unavailable"}).empty()));
}

TEST_CASE("a folder is one process's at a time", "[bevfusion][program]") {
  const fs::path run = StoppedRun::get().copy("locked");
  const TemporaryFolder town;
  {
    const example::FolderLock train(run, "is being trained");
    const example::FolderLock synth(town.path(), "is being written");
    const std::string me = "process " + std::to_string(getpid());
    const std::string log = content_of(run / "log.jsonl");
    CHECK(complaint(resume(run), {run.string(), "is being trained by", me}) == "");
    CHECK(content_of(run / "log.jsonl") == log);
    CHECK(complaint(run_program(command("synth", {"--tiny", "--out", town.path().string()})),
                    {town.path().string(), "is being written by", me}) == "");
    // Pictures of one network beside the page of another.
    const std::string out = town.path().string();
    CHECK(complaint(run_program(command("predict", {"--run", run.string(), "--out", out})), {out, "is being written by", me}) ==
          "");
    CHECK(complaint(run_program(command("report", {run.string(), "--out", out})), {out, "is being written by", me}) == "");
  }
  CHECK(resume(run).code == 0);
  CHECK_FALSE(fs::exists(run / ".lock"));
}

TEST_CASE("a run goes on with its own data", "[bevfusion][program]") {
  const fs::path& folder = StoppedRun::get().folder.path();
  const fs::path run = StoppedRun::get().copy("moved");
  const std::string before = content_of(run / "checkpoint.pt");
  const std::string config = content_of(run / "config.toml");
  CHECK(complaint(resume(run, {"--data", "other"}, {folder}), {(folder / "town").string(), (folder / "other").string()}) == "");
  CHECK(content_of(run / "checkpoint.pt") == before);
  CHECK(content_of(run / "config.toml") == config);
  fs::copy(folder / "town", folder / "a copy", fs::copy_options::recursive);
  const Ended ended = resume(run, {"--data", "a copy"}, {folder});
  INFO(ended.err);
  CHECK(ended.code == 0);
}

TEST_CASE("a run's folder is used from anywhere", "[bevfusion][program]") {
  const fs::path run = StoppedRun::get().copy("anywhere");
  const TemporaryFolder elsewhere;
  for (const Ended& ended : {resume(run, {}, {elsewhere.path()}), evaluate(run, {}, {elsewhere.path()})}) {
    INFO(ended.err);
    CHECK(ended.code == 0);
  }
}

TEST_CASE("a damaged config is not taken for another one", "[bevfusion][program]") {
  const fs::path run = StoppedRun::get().copy("config");
  const std::string whole = content_of(run / "config.toml");
  const auto write = [&run](const std::string& text) { std::ofstream(run / "config.toml", std::ios::binary) << text; };
  for (const std::string& text : {std::string(), whole.substr(0, whole.find("[losses]")), whole.substr(whole.find("[model]"))}) {
    write(text);
    for (const Ended& ended : {resume(run), evaluate(run)}) {
      CHECK(complaint(ended, {(run / "config.toml").string(), "lacks"}) == "");
    }
  }
  fs::remove(run / "config.toml");
  CHECK(complaint(resume(run, {"--size", "tiny", "--data", "town"}), {"config.toml", "checkpoint.pt"}) == "");
  write(whole);
  CHECK(evaluate(run).code == 0);
}

TEST_CASE("bytes that changed in a checkpoint are noticed, wherever they are", "[bevfusion][program]") {
  const fs::path run = StoppedRun::get().copy("bytes");
  const std::string whole = content_of(run / "checkpoint.pt");
  std::mt19937 random(1);
  for (const double part : {0.001, 0.3, 0.6, 0.9}) {
    std::string damaged = whole;
    for (std::size_t i = 0; i < 64; ++i) {
      damaged[static_cast<std::size_t>(part * static_cast<double>(whole.size())) + i] = static_cast<char>(random());
    }
    std::ofstream(run / "checkpoint.pt", std::ios::binary) << damaged;
    CHECK(complaint(evaluate(run), {(run / "checkpoint.pt").string(), "damaged"}) == "");
  }
  CHECK(complaint(resume(run), {(run / "checkpoint.pt").string(), "damaged"}) == "");
  std::ofstream(run / "checkpoint.pt", std::ios::binary) << whole.substr(0, whole.size() - 9);
  CHECK(complaint(evaluate(run), {(run / "checkpoint.pt").string()}) == "");
  fs::remove(run / "checkpoint.pt");
  CHECK(complaint(evaluate(run), {(run / "checkpoint.pt").string() + " is not there", "--resume"}) == "");
}

TEST_CASE("a data set is not written over another one", "[bevfusion][program]") {
  const TemporaryFolder folder;
  synthesise(folder.path() / "town", "1");
  const auto picture = *fs::directory_iterator(folder.path() / "town/samples/CAM_FRONT");
  const std::string before = content_of(picture.path());
  const auto again = [&folder](const std::string& version) {
    return run_program(command("synth", {"--tiny", "--scenes", "1", "--samples", "1", "--seed", "2", "--version", version,
                                         "--out", (folder.path() / "town").string()}));
  };
  CHECK(complaint(again("v1.0-second"), {(folder.path() / "town").string(), "v1.0-synth", "v1.0-second"}) == "");
  CHECK(complaint(again("v1.0-synth"), {"v1.0-synth"}) == "");
  CHECK(content_of(picture.path()) == before);
}

TEST_CASE("wrong words are named, and what was meant", "[bevfusion][program]") {
  const auto says = [](const Words& words) {
    Words all = words;
    all.insert(all.begin(), BEVFUSION_PROGRAM);
    const Ended ended = run_program(all);
    CHECK(ended.code != 0);
    CHECK(ended.code > 0);
    std::size_t digits = 0;
    for (const char c : ended.err) {
      digits = std::isdigit(static_cast<unsigned char>(c)) != 0 ? digits + 1 : 0;
      if (digits > 20) {
        return "hundreds of digits: " + ended.err;
      }
    }
    return ended.err;
  };
  CHECK(lacking(says({"nonsense"}), {"there is no command 'nonsense'", "synth, train"}) == "");
  CHECK(lacking(says({"tran"}), {"did you mean train?"}) == "");
  CHECK(lacking(says({"train", "--out", "x", "--epohcs", "3"}), {"--epohcs", "did you mean --epochs?"}) == "");
  CHECK(lacking(says({"train", "--out", "x", "--losses.foreground_weight", "-5"}),
                {"--losses.foreground_weight: -5 is out of range; it may be >= 0"}) == "");
  CHECK(lacking(says({"train", "--out", "x", "--training.log_every", "many"}), {"--training.log_every: 'many' is no number"}) ==
        "");
  CHECK(lacking(says({"train", "--out", "x", "--training.log_every"}), {"--training.log_every"}) == "");
  CHECK(lacking(says({"train", "--out", "x", "--steps", "-1"}), {"--steps: -1 is out of range; it may be >= 0"}) == "");
  CHECK(lacking(says({"train", "--out", "x", "--epochs", "99999999999999999999"}), {"--training.epochs: 99999999999999999999"}) ==
        "");
  // Times the steps of an epoch it would be no number any more, and so many layers never end.
  CHECK(lacking(says({"train", "--out", "x", "--epochs", "9223372036854775807"}), {"it may be 1 ... 1000000000"}) == "");
  CHECK(lacking(says({"train", "--out", "x", "--model.bev.layers", "9223372036854775807"}), {"it may be 0 ... 1000"}) == "");
  CHECK(lacking(says({"train", "--out", "x", "--epochs", "010"}), {"--training.epochs: '010'"}) == "");
  CHECK(lacking(says({"train", "--out", "x", "--epochs", "1e3"}), {"--training.epochs: '1e3' is no whole number"}) == "");
  CHECK(lacking(says({"train", "--out", "x", "--seed", "-1"}), {"--training.seed: -1 is out of range"}) == "");
  CHECK(lacking(says({"eval", "--run", "x", "--threads", "0"}), {"--threads: 0 is out of range; it may be >= 1"}) == "");
  CHECK(lacking(says({"eval", "--run", "x", "--batch", "5000000000"}), {"--batch: 5000000000 is out of range"}) == "");
  CHECK(lacking(says({"synth", "--out", "x", "--scenes", "99999999999"}), {"--scenes: 99999999999 is out of range"}) == "");
  CHECK(lacking(says({"predict", "--run", "x", "--score", "2"}), {"--score: 2 is out of range; it may be 0 ... 1"}) == "");
  CHECK(lacking(says({"predict", "--run", "x", "--score", "0.5"}), {"--score requires --pictures"}) == "");
  CHECK(lacking(says({"experiment", "fuller_table_1", "--check"}), {"--check requires --quote"}) == "");
  CHECK(lacking(says({"experiment", "fuller_table_1", "--version", "v1.0-mini"}), {"--version requires --data"}) == "");
  const std::string run = (StoppedRun::get().folder.path() / "run").string();
  CHECK(lacking(says({"report", "a=" + run, "a=" + run + "/"}), {run + "/ is given twice"}) == "");
  CHECK(lacking(says({"train", "--out", "x", "--ranks", "99999"}), {"--ranks: 99999 is out of range; it may be 1 ... 1024"}) ==
        "");
  const Ended ended = evaluate(StoppedRun::get().folder.path() / "run", {"--device", "foo"});
  CHECK(complaint(ended, {"--device is 'foo'", "cpu"}) == "");
}

TEST_CASE("a sweep that is missing comes with the way to do without", "[bevfusion][program]") {
  const fs::path& folder = StoppedRun::get().folder.path();
  fs::copy(folder / "town", folder / "no sweeps", fs::copy_options::recursive);
  fs::remove_all(folder / "no sweeps/sweeps");
  const Words words = {"--size", "tiny", "--data", "no sweeps", "--epochs", "1", "--out", "no sweeps run"};
  CHECK(complaint(run_program(command("train", words), {folder}), {"sweeps", "is missing", "--loading.sweeps 1"}) == "");
}

TEST_CASE("what predict submits has the score that eval tells", "[bevfusion][program]") {
  const fs::path& folder = StoppedRun::get().folder.path();
  REQUIRE(evaluate("run", {"--out", "scored.json"}, {folder}).code == 0);
  REQUIRE(run_program(command("predict", {"--run", "run", "--out", "submitted"}), {folder}).code == 0);
  const Words score = {"--data", "town", "--version", "v1.0-synth", "--split", "val", "--out", "summary.json", "--submission"};
  const auto scored = [&](const std::string& file) {
    Words words = score;
    words.push_back(file);
    return run_program(command("score", words), {folder});
  };
  const Ended ended = scored("submitted/submission.json");
  INFO(ended.err);
  REQUIRE(ended.code == 0);
  CHECK(lacking(ended.out, {"mAP: ", "NDS: "}) == "");
  const auto summary = nlohmann::json::parse(content_of(folder / "summary.json"));
  const auto evaluation = nlohmann::json::parse(content_of(folder / "scored.json"));
  for (const char* figure : {"mean_ap", "nd_score"}) {
    CHECK(summary.at(figure).get<double>() == Approx(evaluation.at("detection").at(figure).get<double>()));
  }
  std::ofstream(folder / "short.json")
      << R"({"meta": {"use_camera": true, "use_lidar": true, "use_radar": false, "use_map": false,
    "use_external": false}, "results": {}})";
  CHECK(complaint(scored("short.json"), {"is missing"}) == "");
  CHECK(complaint(scored("nowhere.json"), {"nowhere.json: cannot be read"}) == "");
}

TEST_CASE("progress in a file is lines", "[bevfusion][program]") {
  const TemporaryFolder folder;
  const Ended ended =
      run_program(command("synth", {"--tiny", "--scenes", "2", "--samples", "10", "--out", (folder.path() / "town").string()}));
  CHECK(ended.err.find('\r') == std::string::npos);
  CHECK(lacking(ended.err, {"100 %", "\n"}) == "");
}

}  // namespace
