// SPDX-License-Identifier: Apache-2.0
// Stands in for the program where an experiment's runner is tested: its train, eval and synth keep the same files in the same way
// (lock, checkpoint that is replaced whole, log that is cut to it), and learn by hashing. What FAKE_CRASH names ends badly,
// FAKE_NAP is a step's time in milliseconds, FAKE_LEDGER gets a line for each thing that is done.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/folder_lock.hpp"
#include "support/output_file.hpp"
#include "support/standard_streams.hpp"

namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// "--name value" or "--name=value"; the last one.
std::string option(const Words& words, const std::string& name, const std::string& otherwise = "") {
  std::string found = otherwise;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == name && i + 1 < words.size()) {
      found = words[i + 1];
    } else if (words[i].rfind(name + "=", 0) == 0) {
      found = words[i].substr(name.size() + 1);
    }
  }
  return found;
}

void note(const std::string& line) {
  if (const std::string ledger = environment("FAKE_LEDGER"); !ledger.empty()) {
    example::OutputFile out(ledger, example::OutputFile::Mode::append);
    out.write(line + "\n");
    out.close();
  }
}

void learn(unsigned long& weights, long step, const Words& words) {
  for (const std::string& word : words) {
    for (const char c : word.find('/') == std::string::npos ? word : "") {  // not where files lie
      weights = (weights ^ static_cast<unsigned char>(c)) * 1099511628211UL;
    }
  }
  weights += static_cast<unsigned long>(step);
}

int train(const Words& words) {
  const fs::path out = option(words, "--out");
  fs::create_directories(out);
  const example::FolderLock lock(out, "is being trained");
  for (const std::string& word : words) {
    const std::string teacher = word.rfind("--teacher=", 0) == 0 ? word.substr(word.rfind('=') + 1) : "";
    if (!teacher.empty() && !fs::exists(fs::path(teacher) / "evaluation.json")) {
      throw std::runtime_error(teacher + " is not done, and is to teach");
    }
  }
  note("train " + out.filename().string());
  constexpr long steps = 40;
  const std::string first = "{\"kind\":\"run\",\"samples\":168,\"steps\":" + std::to_string(steps) +
                            ",\"tasks\":[\"detection\",\"segmentation\"],\"parameters\":7}\n";
  unsigned long weights = 1;
  long step = 0;
  long bytes = 0;
  if (std::ifstream in(out / "checkpoint.pt"); in && !(in >> step >> weights >> bytes)) {
    throw std::runtime_error("the checkpoint is damaged");
  }
  if (fs::exists(out / "log.jsonl") && fs::file_size(out / "log.jsonl") > static_cast<std::uintmax_t>(bytes)) {
    fs::resize_file(out / "log.jsonl", static_cast<std::uintmax_t>(bytes));
  }
  example::OutputFile log(out / "log.jsonl", example::OutputFile::Mode::append);
  const auto add = [&](const std::string& line) {
    log.write(line);
    log.flush();
    bytes += static_cast<long>(line.size());
  };
  if (bytes == 0) {
    add(first);
  }
  example::write_file(out / "config.toml",
                      "size = \"tiny\"\n[training]\nseed = " + option(words, "--seed", "0") + "\ndevice = \"cpu\"\n");
  const std::string crash = environment("FAKE_CRASH");
  const auto nap = std::chrono::milliseconds(std::atoi(environment("FAKE_NAP").c_str()));
  while (step < steps) {
    std::this_thread::sleep_for(nap);
    ++step;
    learn(weights, step, words);
    add("{\"kind\":\"step\",\"epoch\":0,\"step\":" + std::to_string(step) + ",\"seconds\":0.5}\n");
    if (step == 20 && !crash.empty() && std::find(words.begin(), words.end(), crash) != words.end()) {
      std::fprintf(stderr, "bevfusion: the network fell over\n");
      return 3;
    }
    if (step % 5 == 0) {
      example::write_file(out / "checkpoint.pt",
                          std::to_string(step) + " " + std::to_string(weights) + " " + std::to_string(bytes) + "\n");
    }
  }
  return 0;
}

int evaluate(const Words& words) {
  const fs::path run = option(words, "--run");
  note("eval " + run.filename().string());
  std::ifstream in(run / "checkpoint.pt");
  long step = 0;
  unsigned long weights = 0;
  if (!(in >> step >> weights)) {
    throw std::runtime_error("there is no checkpoint");
  }
  const std::string figure = std::to_string(static_cast<double>(weights % 1000) / 1000);
  std::string missing;
  for (const char* sensor : {"camera", "lidar", "CAM_FRONT", "28 of 32 beams"}) {
    const bool whole = std::string(sensor) == "camera" || std::string(sensor) == "lidar";
    if (whole || option(words, "--missing") == "table") {
      missing += std::string(missing.empty() ? "" : ",") + "{\"without\":[\"" + sensor + "\"],\"mAP\":" + figure + "}";
    }
  }
  example::write_file(run / "evaluation.json",
                      "{\"mAP\":" + figure + ",\"NDS\":" + figure + ",\"mIoU\":" + figure + ",\"missing\":[" + missing + "]}\n");
  return 0;
}

int predict(const Words& words) {
  note("predict " + fs::path(option(words, "--run")).filename().string());
  if (!fs::exists(fs::path(option(words, "--run")) / "evaluation.json")) {
    throw std::runtime_error("the masks' thresholds are not known yet");
  }
  const fs::path out = option(words, "--out");
  fs::create_directories(out);
  example::write_file(out / "index.html", option(words, "--pictures") + " scenes\n");
  return 0;
}

int synth(const Words& words) {
  const fs::path tables = fs::path(option(words, "--out")) / "v1.0-synth";
  note("synth");
  if (fs::exists(tables)) {
    throw std::runtime_error(tables.string() + " is there already");
  }
  fs::create_directories(tables);
  std::ofstream(tables / "scene.json") << "[]\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  example::prepare_standard_streams();
  const Words words(argv + 1, argv + argc);
  try {
    const std::string command = words.empty() ? "" : words.front();
    return command == "train"     ? train(words)
           : command == "eval"    ? evaluate(words)
           : command == "predict" ? predict(words)
           : command == "synth"   ? synth(words)
                                  : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bevfusion: %s\n", error.what());
    return 1;
  }
}
