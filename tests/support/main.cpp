// SPDX-License-Identifier: Apache-2.0
// The one main of all test programs.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Listener = Catch::EventListenerBase;
#else
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
using Listener = Catch::TestEventListenerBase;
#endif

#include <iostream>
#include <string>

namespace fuller::testing {
void skip(const std::string& reason);
}

namespace {

constexpr int skipped_status = 77;
int cases_run = 0;
int cases_skipped = 0;
bool current_skipped = false;

struct CountCases : Listener {
  using Listener::Listener;
  void testCaseStarting(const Catch::TestCaseInfo& info) override {
    Listener::testCaseStarting(info);
    current_skipped = false;
  }
  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    Listener::testCaseEnded(stats);
    ++cases_run;
    cases_skipped += current_skipped ? 1 : 0;
  }
};

}  // namespace

CATCH_REGISTER_LISTENER(CountCases)

void fuller::testing::skip(const std::string& reason) {
  std::cout << "skipped: " << reason << '\n';
  current_skipped = true;
}

int main(int argc, char** argv) {
  const int status = Catch::Session().run(argc, argv);
  return status == 0 && cases_run > 0 && cases_skipped == cases_run ? skipped_status : status;
}
