// SPDX-License-Identifier: Apache-2.0
// Saved states, number by number: the last value that is taken and the first that is refused, for every rule and law that checks
// what it loads. Where a bound is not one that steps can reach, it is wide of what they can, and stated in the header.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>
#include <fuller/gates/gates.hpp>

#include "support/catch.hpp"

namespace {

using namespace fuller;

constexpr int tasks = 2;
constexpr double largest = std::numeric_limits<double>::max();
constexpr double infinity = std::numeric_limits<double>::infinity();
const double not_a_number = std::nan("");

double above(double x) { return std::nextafter(x, infinity); }
double below(double x) { return std::nextafter(x, -infinity); }

/// Whether a state is taken, and by what it is described where it is not.
template <class Checked>
class States {
 public:
  explicit States(const Checked& checked) : checked_(checked), start(static_cast<std::size_t>(checked.state_size(tasks))) {
    checked.initialise(tasks, start.data());
    CHECK(takes(start));
  }

  bool takes(const std::vector<double>& state) {
    try {
      checked_.check_state(tasks, state.data());
      said.clear();
      return true;
    } catch (const Error& error) {
      said = error.what();
      return false;
    }
  }

  bool takes(int place, double value) {
    std::vector<double> state = start;
    state[static_cast<std::size_t>(place)] = value;
    return takes(state);
  }

  /// Number `place` may be anything from `from` to `to`, both included, and nothing else; the message has `what` and the value's
  /// place.
  void check_range(int place, double from, double to, const std::string& what) {
    INFO("place " << place << ": " << what);
    CHECK(takes(place, from));
    CHECK(takes(place, to));
    for (const double bad : {below(from), above(to), not_a_number, infinity, -infinity}) {
      INFO(bad);
      CHECK_FALSE(takes(place, bad));
      CHECK(said.find(what) != std::string::npos);
      CHECK((std::isfinite(bad) || std::isnan(bad) || said.find(bad < 0 ? " is -inf," : " is inf,") != std::string::npos));
    }
  }

 private:
  Checked checked_;

 public:
  std::vector<double> start;
  std::string said;
};

/// Adam's three numbers for a number i: whether a first moment, a second moment and a count are taken.
template <class Rule>
void check_adam(States<Rule>& states, int first) {
  const auto fits = [&](double mean, double square, double count) {
    std::vector<double> state = states.start;
    state[std::size_t(first)] = mean;
    state[std::size_t(first + tasks)] = square;
    state[std::size_t(first + 2 * tasks)] = count;
    return states.takes(state);
  };
  CHECK(fits(0, 0, 0));
  // The longest first moment that betas of 0.9 and 0.999 allow is 7.3 roots of the second.
  for (const double root : {1e-6, 1.0, 1e150}) {
    for (const double sign : {-1.0, 1.0}) {
      CHECK(fits(sign * 7.3 * root, root * root, 5));
      CHECK_FALSE(fits(sign * 8.5 * root, root * root, 5));
    }
  }
  // A square that is too small for a double leaves a first moment of up to 1e-150 beside it.
  CHECK(fits(1e-150, 0, 1));
  CHECK_FALSE(fits(1.5e-150, 0, 1));
  CHECK_FALSE(fits(1e-100, 0, 1));
  CHECK_FALSE(fits(0, -1e-300, 1));
  CHECK(fits(0, 1.0009e300, 1));
  CHECK_FALSE(fits(0, 1.5e300, 1));
  CHECK_FALSE(fits(0, not_a_number, 1));
  CHECK_FALSE(fits(not_a_number, 1, 1));
  CHECK_FALSE(fits(-77, 1, 1));
  CHECK(states.said.find(" is -77,") != std::string::npos);
  CHECK_FALSE(fits(0, 1, -1));
  CHECK_FALSE(fits(0, 1, infinity));
  CHECK_FALSE(fits(0, 1, not_a_number));
}

}  // namespace

TEST_CASE("saved log scales, logits and routers end at their bounds, and Adam's moments where no gradient leaves more") {
  States uw(UW{});
  uw.check_range(1, -30, 30, "log scale of number 1");
  check_adam(uw, 3);
  States imtl(IMTL_L{});
  imtl.check_range(0, -30, 30, "log scale of number 0");
  check_adam(imtl, 2);
  States famo(FAMO{});
  famo.check_range(1, -1e100, 1e100, "logit of number 1");
  check_adam(famo, 3);
  famo.check_range(8, -1000, 1000, "last logarithm of number 0");
  famo.check_range(9, -1000, 1000, "last logarithm of number 1");
  for (const double mark : {0.5, 2.0, -1.0, not_a_number}) {
    CHECK(famo.takes(11, 1));
    CHECK_FALSE(famo.takes(11, mark));
    CHECK(famo.said.find("mark of the last step of number 1") != std::string::npos);
  }
  States ldc(LDC{});
  ldc.check_range(0, -30, 30, "parameter of number 0");
  check_adam(ldc, 3);
  ldc.check_range(9, 0, largest, "L(0) of number 1");
  States go(GO4Align{});
  go.check_range(1, -1e100, 1e100, "log q of number 1");
}

TEST_CASE("saved norms, lengths and counts are finite and not negative") {
  States norm(GradNorm{});
  norm.check_range(1, std::numeric_limits<double>::denorm_min(), largest, "weight of number 1");
  norm.check_range(2, 0, largest, "L(0) of number 0");
  norm.check_range(3, 0, largest, "L(0) of number 1");
  norm.check_range(7, 0, largest, "second moment of number 1");
  norm.check_range(5, -largest, largest, "first moment of number 1");
  norm.check_range(6, 0, largest, "second moment of number 0");
  norm.check_range(9, 0, largest, "step count of number 1");
  States lengths(DBMTL{});
  lengths.check_range(1, 0, largest, "mean length of number 1");
  lengths.check_range(2, 0, largest, "count of steps of number 0");
  lengths.check_range(3, 0, largest, "count of steps of number 1");
  States balancer(Balancer{});
  balancer.check_range(0, 0, largest, "sum of norms of number 0");
  balancer.check_range(2, 0, largest, "sum of factors of number 0");
  balancer.check_range(3, 0, largest, "sum of factors of number 1");
  States vaccine(GradVac{});
  vaccine.check_range(3, -1.001, 1.001, "target cosine of number 3");
}

TEST_CASE("a saved mean square of PCD is one that its count of steps can have left") {
  States pcd(PCD{});
  const auto takes = [&](double mean, double steps) {
    std::vector<double> state = pcd.start;
    state[1] = mean;
    state[3] = steps;
    return pcd.takes(state);
  };
  CHECK(takes(0, 0));
  CHECK_FALSE(takes(1, 0));  // before the first step
  CHECK(takes(1, 1));
  CHECK(takes(0, 7));
  CHECK_FALSE(takes(-1, 7));
  CHECK_FALSE(takes(1, 1.5));
  CHECK_FALSE(takes(1, -1));
  CHECK(takes(1, 1e15 - 1));  // beyond that a count stands still
  CHECK_FALSE(takes(1, 1e15));
  // The mean over (1 - 0.999), which is that of the first step, has to be a double.
  CHECK(takes(0.0009 * largest, 1));
  CHECK_FALSE(takes(0.0011 * largest, 1));
}

TEST_CASE("saved means of epochs: sums and means may have any sign, counts not, and what is known is 0, 1 or 2") {
  // epoch, sum, count, latest, previous, known: two of each.
  States dwa(DWA{});
  dwa.check_range(0, 0, largest, "epoch means of number 0");
  CHECK_FALSE(dwa.takes(0, -3));
  CHECK(dwa.said.find("number 0 is -3,") != std::string::npos);
  dwa.check_range(1, 0, largest, "epoch means of number 1");
  dwa.check_range(2, -largest, largest, "epoch means of number 2");
  dwa.check_range(5, 0, largest, "epoch means of number 5");
  dwa.check_range(7, -largest, largest, "epoch means of number 7");
  dwa.check_range(8, -largest, largest, "epoch means of number 8");
  for (const double known : {0.0, 1.0, 2.0}) {
    CHECK(dwa.takes(11, known));
    CHECK_FALSE(dwa.takes(11, known + 0.5));
    CHECK_FALSE(dwa.takes(11, known - 3));
    CHECK_FALSE(dwa.takes(11, known + 3));
  }
  States dtp(WPCGrad<DTP>{});
  CHECK_FALSE(dtp.takes(0, -3));
  CHECK(dtp.said.find("number 0 is -3,") != std::string::npos);
  CHECK_FALSE(dtp.takes(4, -1));
  CHECK(dtp.said.find("DTP the epoch means of number 4 is -1") != std::string::npos);
  dtp.check_range(13, 0, largest, "scale of number 1");
}

TEST_CASE("what the wrapper of every rule saves: last weights, factors of the stage, held weights and their counts") {
  WeightingOptions options;
  options.stage = LossStage::log;
  options.every = 2;
  // last weights, factors, held weights, times given, steps since: of two tasks, after IMTL-G, which saves nothing.
  States all(Weighting<IMTL_G>(IMTL_G(), options));
  all.check_range(1, 0, largest, "last weight of number 1");
  all.check_range(3, 0, largest, "loss stage's factor of number 1");
  all.check_range(5, -largest, largest, "held weight of number 1");
  all.check_range(7, 0, largest, "number of weights of number 1");
  all.check_range(8, 0, largest, "number of held steps of number 0");
}

TEST_CASE("saved gates, scores and scales of every law end at their bounds") {
  States gate(ModalityGate{});
  gate.check_range(1, std::numeric_limits<double>::denorm_min(), 1, "gate of number 1");
  States agm(AGM{});
  agm.check_range(1, -largest, largest, "mean score of number 1");
  agm.check_range(3, 0, largest, "number of steps of number 1");
  States cggm(CGGM{});
  cggm.check_range(0, -largest, largest, "last score of number 0");
  for (const double flag : {0.5, 2.0, -1.0, not_a_number}) {
    CHECK(cggm.takes(3, 1));
    CHECK_FALSE(cggm.takes(3, flag));
    CHECK(cggm.said.find("flag of number 1") != std::string::npos);
  }
  const auto scales = [](const auto& law, double from, double to) {
    const auto takes = [&](double scale) {
      const std::vector<double> all{1, scale};
      try {
        law.check_scales(2, all.data());
        return true;
      } catch (const Error& error) {
        INFO(error.what());
        CHECK(std::string(error.what()).find("of number 1") != std::string::npos);
        return false;
      }
    };
    CHECK(takes(from));
    CHECK(takes(to));
    CHECK_FALSE(takes(below(from)));
    CHECK_FALSE(takes(above(to)));
    CHECK_FALSE(takes(not_a_number));
  };
  const double least = std::numeric_limits<double>::denorm_min();
  MLBOptions strong;
  strong.beta = 5;
  scales(MLB(strong), least, 5);
  scales(OGM(), least, 1);
  scales(AGM(), least, largest);
  scales(CGGM(), 0, 2);
  scales(ModalityGate(), least, 1);
}
