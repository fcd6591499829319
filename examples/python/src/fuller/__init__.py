# SPDX-License-Identifier: Apache-2.0
"""Gradient calibration of multi-task training, inside one loss.backward(): see Calibration, and README.md beside setup.py."""
import torch  # noqa: F401  its libraries are those the extension was built against, and must be there first

from fuller._C import (DWA, IMTL_G, Calibration, Constant, GradNorm, PCGrad, Rule, Uniform, WPCGrad, __version__)

__all__ = ["Calibration", "Constant", "DWA", "GradNorm", "IMTL_G", "PCGrad", "Rule", "Uniform", "WPCGrad", "__version__"]
