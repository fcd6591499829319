// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>

namespace example {

/// Calls body(title, rule) for every rule of the library, for two tasks.
template <class Body>
void for_every_rule(const Body& body) {
  body("plain sum", fuller::Uniform());
  body("IMTL-G", fuller::IMTL_G());
  body("GradNorm", fuller::GradNorm());
  body("DWA", fuller::DWA());
  body("PCGrad", fuller::PCGrad());
  body("wPCGrad with DTP", fuller::WPCGrad<fuller::DTP>());
  body("GradVac", fuller::GradVac());
  body("ConFIG", fuller::ConFIG());
  body("Aligned-MTL", fuller::AlignedMTL());
  body("DB-MTL", fuller::DBMTL());
  body("FairGrad", fuller::FairGrad());
  body("Nash-MTL", fuller::NashMTL());
  body("UPGrad", fuller::UPGrad());
  body("DualProj", fuller::DualProj());
  body("MGDA", fuller::MGDA());
  body("CAGrad", fuller::CAGrad());
  body("PCD, first task primary", fuller::PCD());
  body("Balancer", fuller::Balancer());
  body("GradDrop", fuller::GradDrop());
  body("UW", fuller::UW());
  body("IMTL-L", fuller::IMTL_L());
  body("RLW", fuller::RLW());
  body("FAMO", fuller::FAMO());
  body("STCH", fuller::STCH());
  body("GLS", fuller::GLS());
  body("GO4Align", fuller::GO4Align());
  body("LDC-MTL", fuller::LDC());
}

}  // namespace example
