// SPDX-License-Identifier: Apache-2.0
// Branches that start from a checkpoint that training wrote.
#include <sstream>

#include <torch/torch.h>

#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "bevfusion/training/checkpoint.hpp"
#include "bevfusion/weights/init_from.hpp"
#include "support/catch.hpp"

namespace {

using bevfusion::DataError;
using bevfusion::testing::TemporaryFolder;

TEST_CASE("a checkpoint of this program is read under the network's names", "[bevfusion][weights]") {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "checkpoint.pt";
  bevfusion::ModelConfig config = bevfusion::tiny_model();
  config.parts.camera = config.parts.tasks["segmentation"] = false;
  torch::manual_seed(41);
  bevfusion::Network trained(config);
  bevfusion::save_checkpoint(file, trained, {}, {}, torch::kCPU);

  bevfusion::ModelConfig other = bevfusion::tiny_model();
  other.separate_towers = true;
  bevfusion::Network network(other);
  const torch::Tensor images = network->towers()[0]->branch_parameters(1)[0].clone();
  bevfusion::InitConfig init;
  init.lidar = file.string();
  std::ostringstream said;
  bevfusion::init_network(network, init, said);
  const auto wanted = trained->towers()[0]->branch_parameters(0);
  for (const bevfusion::BevFusion& tower : network->towers()) {
    const auto got = tower->branch_parameters(0);
    REQUIRE(got.size() == wanted.size());
    for (std::size_t k = 0; k < got.size(); ++k) {
      CHECK(torch::equal(got[k], wanted[k]));
    }
  }
  CHECK(torch::equal(network->towers()[0]->branch_parameters(1)[0], images));
  CHECK(said.str().find("model.lidar.input_conv.weight -> lidar.input_conv.weight") != std::string::npos);
  CHECK(said.str().find(" 0 of the network are not in it") != std::string::npos);

  init.lidar.clear();
  init.camera = file.string();  // a LiDAR-only network has no pictures' weights
  CHECK_THROWS_AS(bevfusion::init_network(network, init, said), DataError);
  config.parts.camera = false;
  bevfusion::Network without_camera(config);
  CHECK_THROWS_AS(bevfusion::init_network(without_camera, init, said), std::invalid_argument);
}

}  // namespace
