# SPDX-License-Identifier: Apache-2.0
"""Gradient calibration of multi-task training, inside one loss.backward(): see Calibration, and README.md beside setup.py."""
import torch  # noqa: F401  its libraries are those the extension was built against, and must be there first

from fuller._C import (AGM, CAGrad, CGGM, DBMTL, DWA, FAMO, GLS, IMTL_G, IMTL_L, LDC, MGDA, MLB, OGM, PCD, RLW, STCH, UW, AlignedMTL,
                       Balancer, Calibration, ConFIG, Constant, DualProj, FairGrad, GO4Align, GradNorm, GradVac, ModalityGate, NashMTL,
                       PCGrad, Rule, UPGrad, Uniform, WPCGrad, __version__, peak_memory)

__all__ = ["AGM", "AlignedMTL", "Balancer", "CAGrad", "CGGM", "Calibration", "ConFIG", "Constant", "DBMTL", "DWA", "DualProj", "FAMO",
           "FairGrad", "GLS", "GO4Align", "GradNorm", "GradVac", "IMTL_G", "IMTL_L", "LDC", "MGDA", "MLB", "ModalityGate", "NashMTL",
           "OGM", "PCD", "PCGrad", "RLW", "Rule", "STCH", "UPGrad", "UW", "Uniform", "WPCGrad", "__version__", "peak_memory"]
