// SPDX-License-Identifier: Apache-2.0
// The examples' statistics, tables and records, against values worked out by hand.
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

#include "../../examples/support/csv.hpp"
#include "../../examples/support/progress.hpp"
#include "../../examples/support/statistics.hpp"
#include "../../examples/support/text_table.hpp"
#include "support/catch.hpp"

TEST_CASE("mean, deviation and interval of one to five", "[examples]") {
  const std::vector<double> values = {1, 2, 3, 4, 5};
  CHECK(example::mean(values) == Approx(3));
  CHECK(example::deviation(values) == Approx(std::sqrt(2.5)));         // squares: 4 + 1 + 0 + 1 + 4, divided by 4
  CHECK(example::interval(values) == Approx(2.776 * std::sqrt(0.5)));  // t of 4 degrees of freedom; 2.5 / 5 = 0.5
}

TEST_CASE("the interval's t falls from 12.706 to the normal's 1.96", "[examples]") {
  CHECK(example::interval({0, 2}) == Approx(12.706));  // deviation sqrt 2, divided by sqrt 2
  std::vector<double> many;
  for (int i = 0; i < 1000; ++i) {
    many.push_back(i % 2);
  }
  CHECK(example::interval(many) == Approx(1.96 * std::sqrt(250.0 / 999.0 / 1000.0)));
}

TEST_CASE("Student's t by its probability, against the published table and closed forms", "[examples]") {
  for (const auto& [freedom, quantile] : {std::pair(1, 12.706), {2, 4.303}, {4, 2.776}, {9, 2.262}, {30, 2.042}}) {
    CHECK(example::t_probability(quantile, freedom) == Approx(0.05).epsilon(1e-3));
    CHECK(example::t_probability(-quantile, freedom) == example::t_probability(quantile, freedom));
  }
  for (const double t : {0.1, 1.0, 3.0, 40.0}) {
    CHECK(example::t_probability(t, 1) == Approx(1 - 2 / std::acos(-1.0) * std::atan(t)));  // Cauchy
    CHECK(example::t_probability(t, 2) == Approx(1 - t / std::sqrt(2 + t * t)));
  }
  CHECK(example::t_probability(0, 4) == 1);
}

TEST_CASE("paired differences, and Holm's correction of several", "[examples]") {
  CHECK(example::paired_probability({1, 2, 3, 4, 5}) == Approx(example::t_probability(3 / std::sqrt(0.5), 4)));
  CHECK(example::paired_probability({0, 0, 0}) == 1);
  CHECK(example::paired_probability({2, 2, 2}) == 0);
  CHECK(std::isnan(example::paired_probability({2})));
  // 0.01 x 4, 0.02 x 3, 0.03 x 2 which is no less than the one before, 0.9 x 1.
  const auto corrected = example::holm({0.03, 0.01, std::nan(""), 0.9, 0.02});
  CHECK(corrected[1] == Approx(0.04));
  CHECK(corrected[4] == Approx(0.06));
  CHECK(corrected[0] == Approx(0.06));
  CHECK(corrected[3] == Approx(0.9));
  CHECK(std::isnan(corrected[2]));
}

TEST_CASE("a single value has no spread to speak of", "[examples]") {
  CHECK(example::deviation({7}) == 0);
  CHECK(std::isnan(example::interval({7})));
  CHECK(std::isnan(example::mean({})));
}

TEST_CASE("the median is the middle, or the middle of the two in the middle", "[examples]") {
  CHECK(example::median({9, 1, 5}) == 5);
  CHECK(example::median({9, 1, 5, 7}) == 6);
  CHECK(std::isnan(example::median({})));
}

TEST_CASE("text tables align by code points, not bytes", "[examples]") {
  CHECK(example::columns("2 ± 1") == 5);
  CHECK(example::text_table({{"a", "b"}, {"long", "±"}}) == "  a      b\n  ────────\n  long   ±\n");
}

TEST_CASE("CSV fields are quoted as RFC 4180 wants", "[examples]") {
  example::CsvLine line;
  line << "plain"
       << "a,b"
       << "say \"no\"" << 0.1 << 3 << std::nan("");
  CHECK(line.text() == "plain,\"a,b\",\"say \"\"no\"\"\",0.1,3,");
}

TEST_CASE("a file that cannot be written is refused by name", "[examples]") {
  CHECK_THROWS_WITH(example::LineFile("/no/such/folder/x.csv"),
                    "/no/such/folder/x.csv: cannot be written (No such file or directory)");
}

TEST_CASE("times are told as clocks do", "[examples]") {
  CHECK(example::clock_time(0) == "0:00");
  CHECK(example::clock_time(125.2) == "2:05");
  CHECK(example::clock_time(3599.7) == "1:00:00");
  CHECK(example::clock_time(-3) == "0:00");
}

TEST_CASE("into a file, progress is a line each tenth and no control characters", "[examples]") {
  std::FILE* file = std::tmpfile();
  {
    example::Progress progress(100, file);
    for (int i = 0; i < 100; ++i) {
      progress.advance(1);
    }
    progress.say("done");
  }
  std::rewind(file);
  std::string text;
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) {
    text += static_cast<char>(c);
  }
  std::fclose(file);
  CHECK(std::count(text.begin(), text.end(), '\n') == 11);
  CHECK(text.find('\r') == std::string::npos);
  CHECK(text.find('\033') == std::string::npos);
  CHECK(text.find(" 50 %") != std::string::npos);
}
