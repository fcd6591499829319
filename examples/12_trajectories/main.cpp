// SPDX-License-Identifier: Apache-2.0
// Where every rule leads on two losses of two parameters: the toy problem of CAGrad and Nash-MTL from its five starting points, a
// picture for each rule, and two quadratics of which it is known. Needs no LibTorch.
//
//   trajectories [PAGE.html [STEPS]]
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "../support/page.hpp"
#include "descent.hpp"
#include "picture.hpp"
#include "problem.hpp"
#include "rules.hpp"

namespace {

using namespace example;

Picture::Path in_losses(const Problem& problem, const std::vector<Point>& points) {
  Picture::Path path;
  for (const Point& point : points) {
    const Losses losses = problem.at(point);
    path.emplace_back(losses.values[0], losses.values[1]);
  }
  return path;
}

/// The line that CAGrad's authors draw, between the bottoms of the two bowls.
Picture::Path front_of_toy(const Problem& problem) {
  std::vector<Point> points;
  for (int k = 0; k <= 100; ++k) {
    points.push_back({-7 + 0.14 * k, -8.3552});
  }
  return in_losses(problem, points);
}

void toy_pictures(Page& page, int steps) {
  const Problem problem = toy();
  const Picture::Path front = front_of_toy(problem);
  page.heading("The toy problem");
  page.paragraph(
      "Two losses of two parameters, from CAGrad (Liu et al. 2021) in the form of Nash-MTL (Navon et al. 2022): the first loss "
      "comes in a unit of a tenth. Each picture shows the plane of the two losses; both are to fall, so down and to the left. "
      "Five "
      "descents begin at the rings (two of them in the upper half, where narrow valleys make gradients that conflict and differ "
      "in size by orders "
      "of magnitude), take " +
      std::to_string(steps) +
      " steps of Adam with learning rate 0.001, and end at the dots. The broad line is the front between the bottoms of the "
      "bowls: on it neither loss can fall without the other rising. A rule that stops before it is stuck; one that ends at an "
      "end "
      "of it serves one task alone.");
  std::vector<std::string> drawn;
  for_every_rule([&](const std::string& title, const auto& rule) {
    Picture picture;
    picture.title = title;
    picture.front = front;
    picture.x_low = -2.2, picture.x_high = 1.2;
    picture.y_low = -22, picture.y_high = 12;
    for (const Point& start : toy_starts()) {
      picture.paths.push_back(in_losses(problem, by_adam(problem, start, rule, steps, steps > 400 ? steps / 400 : 1)));
    }
    drawn.push_back(svg(picture));
  });
  page.figures(drawn);
  page.paragraph(
      "Rules that are made for losses > 0 are shown these with 21 added, which changes no gradient. For GradDrop the point "
      "itself "
      "is the shared representation. Seeds are the rules' defaults: PCGrad, wPCGrad, RLW and GradDrop draw.");
}

void quadratics_table(Page& page) {
  page.heading("Two quadratics");
  page.paragraph(
      "Two round bowls with minima at -2 and 2, the second one's loss in units of 1, 10 and 100. From a point above the line "
      "between the minima, where the gradients stand at 60 degrees and the second minimum is nearer, each rule's direction is "
      "followed in small steps of one length to where its weighted gradients cancel: how far along the line from the first "
      "minimum (0) to the second (1) that is. Known by mathematics: the plain sum ends at scale / (1 + scale); what gives both "
      "gradients equal projections (IMTL-G, ConFIG, Nash-MTL, FairGrad) follows a hyperbola around the minima, and ends at one "
      "point whatever the unit; MGDA at scale 1 falls straight down onto the line.");
  std::vector<std::vector<std::string>> rows{{"rule", "scale 1", "scale 10", "scale 100"}};
  const auto written = [](double share) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3f", share);
    return std::string(text);
  };
  for_every_rule([&](const std::string& title, const auto& rule) {
    std::vector<std::string> row{title};
    for (const double scale : {1.0, 10.0, 100.0}) {
      Quadratics knobs;
      knobs.scale = scale;
      const Point start = seen_under(knobs, 3.14159265358979323846 / 3, 0.3);
      const Point end = along(quadratics(knobs), start, rule, 2e-3, 20000);
      const bool arrived = std::abs(end[1]) < 0.05;
      row.push_back(arrived ? written(end[0] / knobs.distance + 0.5) : "not on the line");
    }
    rows.push_back(row);
  });
  page.table(rows);
  page.paragraph(
      "The pictures and this table are of deterministic losses and two parameters. They show what a rule aims at, not how well a "
      "network will learn by it.");
}

int run(const std::string& file, int steps) {
  Page page("Where each rule leads");
  toy_pictures(page, steps);
  quadratics_table(page);
  page.write(file);
  std::cout << "Page: " << file << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const int steps = argc > 2 ? std::atoi(argv[2]) : 35000;
    if (argc > 3 || steps < 1) {
      std::cerr << "trajectories [PAGE.html [STEPS]]\nWrites the page; 35000 steps unless given." << std::endl;
      return 2;
    }
    return run(argc > 1 ? argv[1] : "trajectories.html", steps);
  } catch (const std::exception& error) {
    std::cerr << "trajectories: " << error.what() << std::endl;
    return 1;
  }
}
